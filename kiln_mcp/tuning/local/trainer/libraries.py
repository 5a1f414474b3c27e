"""torch, transformers and peft: imported by name, since they are an extra and have few types."""

import os
from functools import cache
from importlib import import_module
from typing import Any

# What transformers and its tokenizers read when they are imported: no busy threads, few words.
_SETTINGS = {
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "OMP_WAIT_POLICY": "PASSIVE",
}


@cache
def library(name: str) -> Any:
    """Return a library by its name."""
    for variable, value in _SETTINGS.items():
        os.environ.setdefault(variable, value)
    return import_module(name)
