"""The command line: ``python -m preprocess <command> ...``; what there is, see :mod:`preprocess.commands`.

Every command reads files and writes files; what it says goes to ``--log`` and to standard error.
An error the user can mend is one line and exit code 1; anything else is a traceback and exit code 2.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from preprocess import commands, notices
from preprocess.commands import acquire, audit, inquiry, inspection, project, stages
from preprocess.environment import peak_memory
from preprocess.errors import PreprocessError

log = logging.getLogger("preprocess")

#: in the order of the help: the way of the data first
COMMANDS: dict[str, commands.Function] = {
    function.__name__.replace("_", "-"): function
    for room in (stages, audit, inquiry, acquire, inspection, project)
    for function in room.COMMANDS
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words).parse_args(words)
    notices.begin_log(options.log)
    try:
        with _remembering(options.seek):
            commands.call(COMMANDS[options.command], options)
    except PreprocessError as error:
        log.error("%s", error)
        return 1
    except BrokenPipeError:
        return 1
    except Exception:
        log.exception("%s failed; this is a defect, please report it with this log", options.command)
        return 2
    finally:
        log.info("%s", _cost())
    return 0


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """The parser of some words. Where the first names a command there is no other: a start would pay for all."""
    parser = argparse.ArgumentParser(prog="python -m preprocess", description=(__doc__ or "").partition(";")[0] + ".")
    names = parser.add_subparsers(dest="command", required=True, metavar="command")
    asked = [name for name in words[:1] if name in COMMANDS]
    for name in asked or COMMANDS:
        text = (inspect.getdoc(COMMANDS[name]) or "").partition("\n")[0]
        of_command = names.add_parser(name, help=text, description=text)
        if asked:
            commands.add(of_command, COMMANDS[name])
    return parser


def _remembering(folder: Path | None) -> AbstractContextManager[None]:
    """What the option ``--seek`` is for; a command without it reads no archive."""
    if folder is None:
        return nullcontext()
    from preprocess.reading import seeking

    return seeking.remembered(folder)


def _cost() -> str:
    """What this process has cost, for planning the memory and time of jobs; the seconds are also its processes'."""
    return f"cost: {sum(os.times()[:4]):.1f} CPU seconds, at most {peak_memory() / 2**20:.0f} MB of memory"
