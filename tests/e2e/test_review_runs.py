"""Runs that wait for a person: answered at once, later, by the command line, and by SDK."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph_dev import needs_server, serving

from funreason_agents import SynthesisContext, load_environment, read_records, synthesize
from funreason_agents.cli.review import Script
from funreason_agents.errors import ConfigurationError
from funreason_agents.export.checkpoints import export_server_thread
from funreason_agents.export.records import to_record
from funreason_agents.schemas.review import ReviewDecision, ReviewRequest
from funreason_agents.verification.replay import verify_record

ROOT = Path(__file__).resolve().parents[2]
KIOSK = f"{ROOT / 'tests' / 'unit' / 'runs' / 'kiosk.py'}:Kiosk"
BOOKSTORE = "tools/bookstore.py:Bookstore"
REVIEWED = SynthesisContext(turns=2, review=("turn",))
N = 5


@pytest.fixture(scope="module")
def kiosk():
    return load_environment(KIOSK, isolated=False)


def run(environment, out, **options):
    options = {"context": REVIEWED, "seed": 3, "num_trajectories": N, **options}
    return synthesize(environment=environment, out=out, target=KIOSK, **options)


def judge(index, request):
    """Rejects the first draw of trajectory 1, edits the replies of 0 and 3, accepts the rest."""
    if index == 1 and not request.before and "rejected" not in judge.done:
        judge.done.add("rejected")
        return ReviewDecision(action="reject", reason="odd")
    if index in (0, 3) and not request.edits:
        return ReviewDecision(action="edit_reply", reply=f"{request.reply} Anything else?")
    return ReviewDecision(action="accept")


@pytest.fixture(autouse=True)
def fresh_judge():
    judge.done = set()


def manifest_of(out):
    return json.loads((Path(out) / "run.json").read_text(encoding="utf-8"))


def counts_of(out):
    return manifest_of(out)["counts"]


@pytest.fixture(scope="module")
def answered_at_once(kiosk, tmp_path_factory):
    out = tmp_path_factory.mktemp("at_once")
    judge.done = set()
    finished = run(kiosk, out, reviewer=judge)
    assert (finished.accepted, finished.waiting, finished.interrupted) == (N, 0, False)
    return out


def test_edited_records_pass_verification_and_say_what_was_edited(kiosk, answered_at_once):
    records = read_records(answered_at_once)
    assert [verify_record(record, kiosk).problems for record in records] == [()] * len(records)
    edited = {
        record.provenance.index
        for record in records
        if any(t.edits for t in record.certificate.turns)
    }
    assert edited == {0, 3}
    assert manifest_of(answered_at_once)["rejections"] == {"review: odd": 1}


def test_waiting_is_neither_accepted_nor_rejected_nor_failed(kiosk, tmp_path):
    waiting = run(kiosk, tmp_path)
    counts = counts_of(tmp_path)
    assert (waiting.waiting, waiting.interrupted, manifest_of(tmp_path)["status"]) == (
        N,
        False,
        "waiting",
    )
    assert {n: counts[n] for n in ("accepted", "rejected", "failed", "waiting")} == {
        "accepted": 0,
        "rejected": 0,
        "failed": 0,
        "waiting": N,
    }


def test_same_line_again_asks_no_model_and_keeps_what_waits(kiosk, tmp_path):
    run(kiosk, tmp_path)
    ledger = (tmp_path / "ledger.jsonl").read_bytes()
    assert run(kiosk, tmp_path).waiting == N
    assert (tmp_path / "ledger.jsonl").read_bytes() == ledger


def test_reviews_answered_later_give_the_bytes_of_reviews_answered_at_once(
    kiosk, tmp_path, answered_at_once
):
    run(kiosk, tmp_path, max_concurrency=3)
    # The later ones first, one request per call; those before them go on waiting.
    for index in (4, 2):
        answers = [ReviewDecision(action="accept")] * 2
        run(kiosk, tmp_path, reviewer=lambda i, _: answers.pop() if i == index else None)  # noqa: B023
    assert [record.provenance.index for record in read_records(tmp_path)] == [2, 4]
    assert counts_of(tmp_path)["waiting"] == 3
    run(kiosk, tmp_path, reviewer=lambda i, request: judge(i, request) if i == 1 else None)
    assert [record.provenance.index for record in read_records(tmp_path)] == [1, 2, 4]
    assert run(kiosk, tmp_path, reviewer=judge).waiting == 0
    assert (tmp_path / "records.jsonl").read_bytes() == (
        answered_at_once / "records.jsonl"
    ).read_bytes()
    assert counts_of(tmp_path) == counts_of(answered_at_once)


def test_requests_come_in_the_order_of_the_trajectories(kiosk, tmp_path):
    asked = []

    def note(index, request):
        asked.append((index, request.turn))
        return ReviewDecision(action="accept")

    run(kiosk, tmp_path, reviewer=note, max_concurrency=4)
    assert asked == sorted(asked)
    assert len(asked) == 2 * N


def test_reviewer_that_breaks_off_leaves_what_was_answered(kiosk, tmp_path):
    def break_off(index, _request):
        if index == 2:
            raise KeyboardInterrupt
        return ReviewDecision(action="accept")

    run(kiosk, tmp_path, reviewer=break_off)
    assert (counts_of(tmp_path)["accepted"], counts_of(tmp_path)["waiting"]) == (2, N - 2)
    assert [record.provenance.index for record in read_records(tmp_path)] == [0, 1]


def funreason(*line, typed=None):
    command = [sys.executable, "-m", "funreason_agents.cli", *map(str, line)]
    return subprocess.run(
        command,
        check=False,
        input=typed,
        stdin=None if typed is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )


def write_decisions(path, *decisions):
    path.write_text("".join(json.dumps(each) + "\n" for each in decisions), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made_to_wait(tmp_path_factory):
    out = tmp_path_factory.mktemp("waiting") / "run"
    line = ("synthesize", KIOSK, "--out", out, "-n", 2, "--turns", 1, "--review", "turn")
    made = funreason(*line)
    assert made.returncode == 0, made.stderr
    assert "2 of 2 wait for review" in made.stdout
    assert f"funreason review {out}" in made.stdout.replace(sys.argv[0], "funreason")
    return out


@pytest.fixture
def waiting(tmp_path, made_to_wait):
    """A run of two trajectories of one turn, by another process, that waits."""
    return Path(shutil.copytree(made_to_wait, tmp_path / "run"))


def test_decisions_of_a_file_are_taken_and_the_run_is_finished(waiting, tmp_path):
    file = write_decisions(
        tmp_path / "decisions.jsonl",
        {"index": 1, "action": "edit_reply", "reply": "It is locker Z-9999."},
        {"action": "accept"},
        {"index": 1, "action": "accept"},
    )
    said = funreason("review", waiting, "--decisions", file)
    assert said.returncode == 0, said.stderr
    assert "trajectory 1, turn 1: refused: reply_grounded" in said.stdout
    assert "2 of 2 trajectories accepted" in said.stdout
    assert manifest_of(waiting)["status"] == "finished"
    assert len(read_records(waiting)) == 2


def test_typed_answers_do_what_decisions_of_a_file_do(waiting, tmp_path):
    other = shutil.copytree(waiting, tmp_path / "other")
    typed = ["what", "er", "It is locker Z-9999.", "edit reply", "It is done.", "ec", "0",
             "{owner}", "ec", "0", "[]", "eq", "", "a", "r", "odd", "a"]  # fmt: skip
    said = funreason("review", waiting, typed="".join(f"{line}\n" for line in typed))
    for told in (
        "Answer one of: a, eq, ec, er, r, s, q.",
        "refused reply_grounded",
        "Edited so far: 1; all checks passed.",
        "That is no JSON",
        "Arguments are a JSON object",
        "review: odd",
        "2 of 2 trajectories accepted",
    ):
        assert told in said.stdout, said.stdout + said.stderr
    file = write_decisions(
        tmp_path / "decisions.jsonl",
        {"action": "edit_reply", "reply": "It is done."},
        {"action": "accept"},
        {"action": "reject", "reason": "odd"},
        {"action": "accept"},
    )
    funreason("review", other, "--decisions", file)
    assert (waiting / "records.jsonl").read_bytes() == (other / "records.jsonl").read_bytes()
    assert read_records(waiting)[0].certificate.turns[0].edits


@pytest.mark.parametrize("typed", ["a\nq\n", "a\n"])
def test_who_stops_loses_nothing_and_goes_on_where_they_stopped(waiting, typed):
    said = funreason("review", waiting, typed=typed)
    assert said.returncode == 0, said.stderr
    assert counts_of(waiting)["waiting"] == 1
    assert len(read_records(waiting)) == 1
    again = funreason("review", waiting, typed="a\n")
    assert "trajectory 1, turn 1" in again.stdout
    assert "trajectory 0, turn 1" not in again.stdout
    assert len(read_records(waiting)) == 2


def test_ctrl_c_at_the_prompt_loses_nothing(waiting):
    process = subprocess.Popen(
        [sys.executable, "-m", "funreason_agents.cli", "review", str(waiting)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    with process:
        process.stdin.write(b"a\n")
        process.stdin.flush()
        said = b""
        while said.count(b"\n> ") < 2:  # the second question: the first one is answered
            more = process.stdout.read1()
            assert more, process.stderr.read()
            said += more
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert (counts_of(waiting)["accepted"], counts_of(waiting)["waiting"]) == (1, 1)
    assert len(read_records(waiting)) == 1


def test_limit_leaves_the_rest_waiting(waiting):
    said = funreason("review", waiting, "--limit", 1, typed="a\na\n")
    assert "1 of 2 wait for review" in said.stdout
    assert counts_of(waiting)["accepted"] == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"action": "accept"', ": no JSON"),
        ('{"action": "edit_call", "call": 0}', "'edit_call' needs 'arguments'"),
        ('{"index": "one", "action": "accept"}', "index"),
        ('{"action": "edit_call", "call": 0, "arguments": {"a": NaN}}', "NaN is no JSON"),
        ("[]", "dict"),
    ],
)
def test_file_with_a_line_that_is_no_decision_is_refused_whole(tmp_path, line, told):
    file = tmp_path / "decisions.jsonl"
    file.write_text(f'{{"action": "accept"}}\n{line}\n')
    with pytest.raises(ConfigurationError, match=r"--decisions: .* line 2: ") as raised:
        Script(file)
    assert told in str(raised.value)


def test_review_of_what_is_no_run_is_refused(tmp_path):
    said = funreason("review", tmp_path)
    assert said.returncode == 2
    assert "is not the directory of a `funreason synthesize` run" in said.stderr


def test_wrong_point_of_review_is_refused(tmp_path):
    said = funreason("synthesize", KIOSK, "--out", tmp_path / "run", "--review", "turns")
    assert (said.returncode, "--review" in said.stderr) == (2, True)


def test_edits_become_preference_rows(waiting, tmp_path):
    file = write_decisions(
        tmp_path / "decisions.jsonl",
        {"action": "edit_reply", "reply": "It is done."},
        {"action": "accept"},
        {"action": "accept"},
    )
    funreason("review", waiting, "--decisions", file)
    rows = tmp_path / "rows"
    line = ("export", waiting, "--out", rows, "--format", "preference", "--heldout", "0")
    assert funreason(*line).returncode == 0
    counts = json.loads((rows / "manifest.json").read_text())["files"]["train"]
    assert counts == {"records": 2, "rows": 1}
    (row,) = map(json.loads, (rows / "train.jsonl").read_text().splitlines())
    assert row["chosen"] == [{"role": "assistant", "content": "It is done."}]
    assert row["rejected"][0]["content"] not in ("", "It is done.")


SERVED = ({"action": "edit_reply", "reply": "I sold it for 3000 crowns."}, {"action": "accept"})
"""What is decided of the one turn of trajectory 3: refused at first, then taken."""


@pytest.mark.server
@pytest.mark.timeout(240)
@needs_server
def test_review_by_sdk_survives_a_restart_and_gives_the_record_of_the_command_line(tmp_path):
    out, folder = tmp_path / "run", tmp_path / "server"
    folder.mkdir()
    line = ("--out", out, "-n", 4, "--seed", 7, "--turns", 1, "--review", "turn")
    funreason("synthesize", BOOKSTORE, *line)
    first, last = ({"index": 3, **decision} for decision in SERVED)
    file = write_decisions(tmp_path / "decisions.jsonl", first, last)
    said = funreason("review", out, "--decisions", file)
    assert "refused: reply_grounded" in said.stdout, said.stdout + said.stderr
    (local,) = read_records(out)
    thread_id, context = local.provenance.thread_id, {"turns": 1, "review": ["turn"]}

    with serving(folder) as client:
        client.threads.create(thread_id=thread_id)
        asked = {"seed": 7, "index": 3}
        client.runs.wait(thread_id, "supervisor", input=asked, context=context)
        before = pending(client, thread_id)
        assert before.reply == local.messages[-1].content
        refused = resume(client, thread_id, SERVED[0], context)
        assert refused.refused[0].startswith("reply_grounded: ")
    with serving(folder) as client:
        assert pending(client, thread_id) == refused
        assert resume(client, thread_id, SERVED[1], context) is None
        trajectory = export_server_thread(client, thread_id)
    assert to_record(trajectory, load_environment(str(ROOT / BOOKSTORE))) == local


def pending(client, thread_id):
    interrupts = client.threads.get_state(thread_id)["interrupts"]
    return ReviewRequest.model_validate(interrupts[0]["value"]) if interrupts else None


def resume(client, thread_id, decision, context):
    client.runs.wait(thread_id, "supervisor", command={"resume": decision}, context=context)
    return pending(client, thread_id)
