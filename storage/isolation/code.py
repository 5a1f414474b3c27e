"""Code of an evaluator, run in a worker of its own.

The worker has no environment and no open files. It keeps an empty folder, the system's libraries
and Python's; all other files, the network, other processes and new ones are taken from it, as far
as the system can do that (`confinement`). Only trusted code belongs here all the same.
"""

import ast
import inspect
import math
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from storage.isolation import check_helpers
from storage.isolation.confinement import Confinement, confine, python_folders
from storage.isolation.worker_tasks import Reply

ENTRY: Final = "score"
_LARGEST_FILE: Final = 16 * 1024 * 1024
_HINT: Final = " (code reaches no network, no other program and no file outside its folder)"


def run_check_code(code: str) -> Reply:
    """Run in a worker: compile code that must define `score`, without running it."""
    try:
        tree = ast.parse(code, "scorer.py")
    except (SyntaxError, ValueError) as error:
        return {"invalid": f"its syntax is wrong: {error}"}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if ENTRY not in functions:
        return {"invalid": "it defines no function score() at its top level"}
    return {"value": None}


def run_code(code: str, names: Mapping[str, Any], seconds: int, folder: str) -> Reply:
    """Run in a worker of its own: call `score` with those of the names that it takes."""
    sys.modules["check_helpers"] = check_helpers
    _enter(folder, seconds)
    namespace: dict[str, Any] = {"__name__": "scorer", "__file__": "scorer.py"}
    try:
        exec(compile(code, "scorer.py", "exec"), namespace)
    except Exception as error:  # noqa: BLE001 - foreign code
        return {"invalid": f"it cannot be loaded: {_describe(error)}"}
    score = namespace.get(ENTRY)
    if not callable(score):
        return {"invalid": "it defines no function score() at its top level"}
    try:
        return _scores(score(**_arguments(score, names)))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code
        return {"failed": f"broke: {_describe(error)}"}


def _arguments(score: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the names that a function takes."""
    parameters = inspect.signature(score).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(names)
    return {
        parameter.name: names[parameter.name] for parameter in parameters if parameter.name in names
    }


def _scores(result: object) -> Reply:
    """Return numbers by the keys of scores, or one number for all of them."""
    values = cast("dict[object, object]", result) if isinstance(result, dict) else {"": result}
    for key, value in values.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            place = f" for {key!r}" if key else ""
            return {"failed": f"answered {str(value)[:80]!r}{place} instead of a number"}
    return {"value": result}


def _describe(error: Exception) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == "scorer.py"
    ]
    place = f" (line {lines[-1]} of scorer.py)" if lines else ""
    hint = _HINT if isinstance(error, PermissionError) else ""
    return f"{type(error).__name__}: {error}"[:200] + place + hint


def run_trial(outside: str, folder: str) -> Reply:
    """Run in a worker of its own: say which walls of the confinement hold, by trying them.

    Args:
        outside: A file that code must not be able to read.
        folder: An empty one.
    """
    _enter(folder, 1)
    return {
        "value": {
            "files": _is_refused(lambda: os.close(os.open(outside, os.O_RDONLY))),
            "network": _is_refused(lambda: socket.socket().close()),
            "processes": _is_refused(_fork),
        }
    }


def _is_refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return True
    return False


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def _enter(folder: str, seconds: int) -> None:
    """Enter the folder, with nothing else in reach."""
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder)
    _limit(seconds)
    confine(Confinement(readable=python_folders(), writable=(folder,)))


def _limit(seconds: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    except (ImportError, ValueError, OSError):
        return
