"""Programs that tests start as processes of their own, counted where coverage is counted."""

import os
import shlex
import sys
from itertools import count
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FOLDER = "SLIPCOVER_COVERAGE_DIR"
_numbers = count(1)


def python_command(code: str) -> list[str]:
    """Return the command that runs Python code; its lines in `agent` are counted with the tests'.

    SlipCover follows forks, but no program that is started. So the program writes its own report
    beside those of the workers of pytest, where all are merged.
    """
    folder = os.environ.get(_FOLDER)
    if folder is None:
        return [sys.executable, "-c", code]
    name = f"{os.getpid()}-{next(_numbers)}"
    script = Path(folder) / f"{name}.py"
    script.write_text(code, encoding="utf-8")
    return [*_python(), *_counting("agent", Path(folder) / f"coverage-gw-{name}.json"), str(script)]


def write_python(file: Path) -> str:
    """Write an interpreter for the run configs of functions; return its path.

    Its lines in `kiln_mcp/programs` are counted with the tests'. It gets `-X utf8` and a script.
    """
    folder = os.environ.get(_FOLDER)
    if folder is None:
        command = f'{shlex.quote(sys.executable)} "$@"'
    else:
        report = Path(folder) / f"coverage-gw-{os.getpid()}-{next(_numbers)}-"
        counting = _counting("kiln_mcp/programs", report)
        # Each process that it starts writes a report of its own.
        options = f'"$1" "$2" {shlex.join(counting)}"$$.json"'
        command = f'{shlex.join(_python())} {options} "${{@:3}}"'
    file.write_text(f"#!/usr/bin/env bash\nexec {command}\n", encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def _python() -> list[str]:
    # A process that knows the folder merges its reports at the end and removes it.
    return ["env", "-u", _FOLDER, sys.executable, "-W", "ignore:Unable to activate pytest"]


def _counting(source: str, report: Path) -> list[str]:
    options = ["--branch", "--json", "--source", str(_ROOT / source), "--out", str(report)]
    return ["-m", "slipcover", *options]
