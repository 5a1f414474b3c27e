"""Checkpoints: all that the next step depends on, in one file that is whole or not there."""

import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.libraries import library
from storage.atomic_write import new_file

_NAME: Final = re.compile(r"checkpoint-(\d+)\.pt")
_COUNT: Final = 2
"""Should the newest turn out to be damaged, the one before it is taken."""


def save_checkpoint(folder: Path, step: int, values: Mapping[str, Any]) -> None:
    """Write the checkpoint of a step, then delete those that are too old.

    Args:
        folder: Of the training.
        step: Steps done.
        values: Tensors, numbers, texts, and lists and dicts of them.

    Raises:
        storage.errors.WriteError: The disk refused; the earlier checkpoints stay.
    """
    with new_file(folder / f"checkpoint-{step}.pt") as file:
        library("torch").save(dict(values), file)
    for old in _checkpoints(folder)[_COUNT:]:
        with suppress(OSError):
            old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return what the newest checkpoint that can be read holds; None if there is none."""
    for path in _checkpoints(folder):
        with suppress(OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
            return library("torch").load(path, map_location="cpu", weights_only=True)
    return None


def delete_checkpoints(folder: Path) -> None:
    """Delete all checkpoints: the adapter is saved."""
    for path in _checkpoints(folder):
        with suppress(OSError):
            path.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints, the newest first."""
    steps = {path: match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    return sorted(steps, key=lambda path: int(steps[path][1]), reverse=True)
