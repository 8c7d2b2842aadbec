import os

import pytest

from funreason_agents.errors import ExportError
from funreason_agents.record_log import LogEntry, RecordLog
from funreason_agents.run_directory import RunDirectory


def entry(name, signature=None):
    return LogEntry(signature or name, (f"{name}\n".encode(), f"p-{name}\n".encode()))


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


def lines(directory):
    return directory.records.read_text().split(), directory.provenance.read_text().split()


def write(directory, *names):
    with RecordLog(directory) as log:
        for index, name in enumerate(names):
            log.add(index, entry(name))
        log.finish(complete=True)


def test_record_waits_for_those_before_it(directory):
    with RecordLog(directory) as log:
        log.add(1, entry("b"))
        assert directory.records.read_text() == ""
        log.add(0, entry("a"))
        assert lines(directory) == (["a", "b"], ["p-a", "p-b"])


def test_gaps_are_closed_up_when_a_run_ends_early(directory):
    with RecordLog(directory) as log:
        log.add(2, entry("c"))
        log.add(1, None)
        log.finish(complete=False)
    assert lines(directory) == (["c"], ["p-c"])


def test_equal_signatures_are_kept_once_in_index_order(directory):
    with RecordLog(directory) as log:
        log.add(1, entry("b", "same"))
        log.add(0, entry("a", "same"))
        assert log.duplicates == 1
    assert lines(directory)[0] == ["a"]


def test_files_never_hold_less_than_before_while_a_run_catches_up(directory):
    write(directory, "a", "b", "c")
    with RecordLog(directory) as log:
        for index, name in enumerate("abcd"):
            assert lines(directory)[0][:3] == ["a", "b", "c"]
            log.add(index, entry(name))
    assert lines(directory)[0] == ["a", "b", "c", "d"]


def test_run_that_ends_before_it_caught_up_leaves_the_old_files(directory):
    write(directory, "a", "b", "c")
    with RecordLog(directory) as log:
        log.add(0, entry("a"))
        log.finish(complete=False)
    assert lines(directory) == (["a", "b", "c"], ["p-a", "p-b", "p-c"])
    assert not list(directory.path.glob("*.part"))


def test_half_a_line_is_gone_after_the_next_run(directory):
    directory.records.write_text("a\nb\nhalf of")
    write(directory, "a", "b", "c")
    assert lines(directory) == (["a", "b", "c"], ["p-a", "p-b", "p-c"])


@pytest.mark.parametrize("full", [0, 1])
def test_full_disk_leaves_whole_lines_in_both_files(directory, full, monkeypatch):
    with RecordLog(directory) as log:
        log.add(0, entry("a"))
        devices = list(log._files)
        devices[full] = FullFile(devices[full])
        monkeypatch.setattr(log, "_files", devices)
        with pytest.raises(ExportError, match="free some space"):
            log.add(1, entry("b"))
    assert lines(directory) == (["a"], ["p-a"])


class FullFile:
    """A file on a disk that has room for one more byte."""

    def __init__(self, file):
        self._file = file
        self._room = 1

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        if not self._room:
            raise OSError(28, os.strerror(28))
        self._room -= 1
        return self._file.write(data[:1])
