"""What tests of every kind use."""

import sys

import pytest


@pytest.fixture
def funreason(monkeypatch, capsys):
    """Run a command line in this process; return its exit status and all that it printed."""

    from funreason_agents.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["funreason", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return ended.value.code or 0, said.out + said.err

    return run
