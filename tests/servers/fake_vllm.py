"""A stand-in for vLLM's server: same module name, same options, same health check."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

options = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
behaviour = os.environ.get("FAKE_VLLM", "")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}).encode())

    def log_message(self, *_):
        pass


def leave(*_):
    print("asked to stop", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(f"loading {options['--model']}", flush=True)
if behaviour == "dies":
    sys.exit("RuntimeError: no memory left for weights")
if behaviour == "hangs":
    time.sleep(60)
server = HTTPServer((options["--host"], int(options["--port"])), Handler)
if behaviour == "dies later":
    server.handle_request()
    sys.exit(7)
server.serve_forever()
