"""What a parameter of a command's function becomes on the command line."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from preprocess import cli, commands
from preprocess.recipe import Recipe

given: dict[str, Any] = {}


def example(
    recipe: Recipe,
    first: list[Path],
    /,
    count: int,
    how: Literal["strict", "warn"],
    folders: list[Path],
    config: dict[str, Any],
    table: Annotated[Path | None, "may be left out"] = None,
    names: list[str] = [],  # noqa: B006
    flag: bool = False,
) -> None:
    """Do nothing."""
    given.update(locals())


def run(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    commands.add(parser, example)
    given.clear()
    commands.call(example, parser.parse_args(words))
    return given


NEEDED = ["breastmnist", "a", "b", "--protocol", "paper", "--count", "3", "--how", "warn", "--folders", "x", "y",
          "--config", '{"a": 1}']  # fmt: skip


def test_parameters_become_arguments():
    found = run(*NEEDED)
    assert found.pop("recipe").name == "breastmnist"
    assert found == {
        "first": [Path("a"), Path("b")], "count": 3, "how": "warn", "folders": [Path("x"), Path("y")],
        "config": {"a": 1}, "table": None, "names": [], "flag": False,
    }  # fmt: skip
    found = run(*NEEDED, "--table", "t", "--names", "n", "--flag", "--overrides", '{"kernel": "box"}')
    assert (found["table"], found["names"], found["flag"]) == (Path("t"), ["n"], True)
    assert found["recipe"].value("kernel") == "box"
    assert run(*NEEDED, "--table", "--names")["table"] is None  # a rule gives nothing where there is none


@pytest.mark.parametrize(
    "words", [NEEDED[:-2], [*NEEDED, "--how", "maybe"], [*NEEDED, "--config", "[]"], [*NEEDED, "--count", "x"]]
)
def test_what_does_not_fit_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        run(*words)
    assert capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_says_what_it_does(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert cli.COMMANDS[name].__doc__.partition("\n")[0] in " ".join(capsys.readouterr().out.split())


def test_a_command_that_is_stopped_ends_without_a_traceback_and_leaves_nothing(tmp_path):
    out, told = tmp_path / "busi", tmp_path / "x.log"
    command = [sys.executable, "-m", "preprocess", "miniature", "busi", str(out), "--log", str(told)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not told.exists():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 130
    assert not out.exists()
