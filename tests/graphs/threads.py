"""A thread, and where it is kept."""

import sqlite3
import uuid
from contextlib import contextmanager

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

THREAD = {"configurable": {"thread_id": str(uuid.UUID(int=7))}}


@contextmanager
def open_saver(path):
    """A saver that revives plain JSON only, as `LANGGRAPH_STRICT_MSGPACK=true` asks for."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    finally:
        connection.close()
