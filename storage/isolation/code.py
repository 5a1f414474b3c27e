"""Code of an evaluator, run in a worker of its own.

The worker has no environment, no open files, an empty folder and, where Linux allows it, no
network. It can still read what its user can read: only trusted code belongs here.
"""

import ast
import inspect
import math
import os
import traceback
from collections.abc import Mapping
from typing import Any, Final, cast

from storage.isolation.worker_tasks import Reply

ENTRY: Final = "score"
_LARGEST_FILE: Final = 16 * 1024 * 1024
_NEW_NETWORK: Final = 0x40000000
_NEW_USER: Final = 0x10000000


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
    os.chdir(folder)
    _leave_the_network()
    _limit(seconds)
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
    return f"{type(error).__name__}: {error}"[:200] + place


def _leave_the_network() -> None:
    """Leave the network for an empty one; not every system allows that."""
    try:
        import ctypes

        libc: Any = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_NETWORK) != 0:
            libc.unshare(_NEW_USER | _NEW_NETWORK)
    except (ImportError, OSError, AttributeError, TypeError):
        return


def _limit(seconds: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    except (ImportError, ValueError, OSError):
        return
