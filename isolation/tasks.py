"""The tasks of a worker, by name. Each is imported when first asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

Reply = dict[str, Any]
"""`value`, `invalid` (the logic, with the reason) or `failed` (this item, with the reason)."""

_TASKS: Final[Mapping[str, str]] = {
    "match": "isolation.patterns",
    "check_pattern": "isolation.patterns",
    "expression": "isolation.templates",
    "check_expression": "isolation.templates",
    "template": "isolation.templates",
    "check_template": "isolation.templates",
    "schema": "isolation.schemas",
    "check_schema": "isolation.schemas",
    "code": "isolation.code",
    "check_code": "isolation.code",
}


def find_task(name: str) -> Callable[..., Reply]:
    """Return a task: `run_<name>` of its module."""
    found: Callable[..., Reply] = getattr(importlib.import_module(_TASKS[name]), f"run_{name}")
    return found
