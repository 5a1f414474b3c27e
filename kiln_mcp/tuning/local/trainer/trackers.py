"""Losses in Weights & Biases or trackio, for who watches trainings there.

Both have the same interface. trackio keeps its data on this machine. Weights & Biases gets the
parameters and losses, and none of the training data; it does so offline if WANDB_MODE says so.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, Protocol

from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint

TRACKERS: Final = ("trackio", "wandb")
_PROJECT: Final = "kiln"


class Tracker(Protocol):
    """What shows the losses of a training elsewhere."""

    def log(self, point: LossPoint) -> None:
        """Add a step; one that an earlier attempt has added stays as it is."""
        ...

    def finish(self) -> None:
        """Write what is left."""
        ...


class NoTracker:
    """Shows nothing."""

    def log(self, point: LossPoint) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class LibraryTracker:
    """Shows losses by one of the two libraries."""

    def __init__(self, module: str, name: str, parameters: Mapping[str, object]) -> None:
        """Begin a run, or go on with the one of the same name.

        Args:
            module: `trackio` or `wandb`.
            name: Of the training.
            parameters: Of the training.
        """
        self._library = library(module)
        identity = {"id": name} if module == "wandb" else {}
        self._library.init(
            project=_PROJECT, name=name, config=dict(parameters), resume="allow", **identity
        )

    def log(self, point: LossPoint) -> None:
        """Add a step."""
        values = {"loss": point.loss, "tokens": point.tokens, "seconds": point.seconds}
        if point.validation is not None:
            values["validation"] = point.validation
        self._library.log(values, step=point.step)

    def finish(self) -> None:
        """Write what is left."""
        self._library.finish()


def open_tracker(request: LocalRequest, name: str) -> Tracker:
    """Return the tracker that a training's parameters name.

    Raises:
        Unusable: It is not installed.
    """
    module = str(request.parameters.get("report_to", "none"))
    check_tracker(module)
    return LibraryTracker(module, name, request.parameters) if module in TRACKERS else NoTracker()


def check_tracker(module: str) -> None:
    """Refuse a tracker that is not installed.

    Raises:
        Unusable: It is not; the sentence says how to install it.
    """
    if module in TRACKERS and find_spec(module) is None:
        raise Unusable(
            f"report_to needs {module}. Install it with pip install 'kiln-mcp-server[{module}]', "
            "or leave report_to out"
        )
