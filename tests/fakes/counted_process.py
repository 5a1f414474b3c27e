"""Programs that tests start as processes of their own, counted where coverage is counted."""

import os
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
    report = Path(folder) / f"coverage-gw-{name}.json"
    counted = ["--branch", "--json", "--source", str(_ROOT / "agent"), "--out", str(report)]
    # A process that knows the folder merges its reports at the end and removes it.
    program = ["env", "-u", _FOLDER, sys.executable, "-W", "ignore:Unable to activate pytest"]
    return [*program, "-m", "slipcover", *counted, str(script)]
