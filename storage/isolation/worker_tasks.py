"""The tasks of a worker, by name. Each is imported when first asked for."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

Reply = dict[str, Any]
"""`value`, `invalid` (the logic, with the reason) or `failed` (this item, with the reason)."""

_TASKS: Final[Mapping[str, str]] = {
    "match": "storage.isolation.patterns",
    "check_pattern": "storage.isolation.patterns",
    "expression": "storage.isolation.templates",
    "check_expression": "storage.isolation.templates",
    "template": "storage.isolation.templates",
    "check_template": "storage.isolation.templates",
    "schema": "storage.isolation.schemas",
    "check_schema": "storage.isolation.schemas",
    "code": "storage.isolation.code",
    "check_code": "storage.isolation.code",
    "trial": "storage.isolation.code",
}


def find_task(name: str) -> Callable[..., Reply]:
    """Return a task: `run_<name>` of its module."""
    task: Callable[..., Reply] = getattr(importlib.import_module(_TASKS[name]), f"run_{name}")
    return task
