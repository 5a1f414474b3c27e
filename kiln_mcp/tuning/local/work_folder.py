"""The folder that the process which trains shares with the one that watches it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from storage.atomic_write import write_atomically

UNWATCHED_S: Final = 120.0
"""A training that nobody looked at for so long saves a checkpoint and ends."""
_LOCK_WAIT_S: Final = 5.0
_LAST_WORDS: Final = 600


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class LocalRequest(_Document):
    """What the process that trains is asked.

    Attributes:
        title: The base model as the person named it.
        base: The folder with the base model in Hugging Face's format.
        gguf: The GGUF file that the base was made from; None for a model of Hugging Face.
        train: JSONL with `conversations`, and its name in the work folder.
        validation: The same of what is validated on; None for none.
        parameters: Checked values by name.
        seed: Of the order of data, the new weights and the dropout.
        licence: Of the base, as far as known.
        fingerprint: SHA-256 of the training data.
        project: The folder that the adapter is put into.
        is_watched: Whether the process ends if nobody looks at it.
        may_download: Whether the base may be fetched from Hugging Face.
    """

    title: str
    base: str
    gguf: str | None = None
    train: str = "train.jsonl"
    validation: str | None = None
    parameters: dict[str, str | int | float | bool]
    seed: int = 0
    licence: str = "unknown"
    fingerprint: str = ""
    project: str = ""
    is_watched: bool = True
    may_download: bool = False

    @property
    def is_base_here(self) -> bool:
        """Whether the base is a folder of the machine that trains, or may not be fetched."""
        return not self.may_download or Path(self.base).is_dir()


State = Literal["pending", "running", "completed", "failed"]


class LocalState(_Document):
    """How far a training is.

    Attributes:
        state: As Kiln's records call it.
        step: Steps done.
        steps: All steps.
        checkpoint: The step of the last checkpoint.
        message: What a person reads.
    """

    state: State = "pending"
    step: int = 0
    steps: int = 0
    checkpoint: int = 0
    message: str = "the process starts"


class LossPoint(_Document):
    """The loss of one step, in nats a token.

    Attributes:
        step: From 1.
        loss: Of the step's batch.
        validation: Of the validation data after the step; None if it was not measured.
        tokens: That were read.
        seconds: That the step took.
    """

    step: int
    loss: float
    validation: float | None = None
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """The files of one training."""

    path: Path

    @property
    def request_file(self) -> Path:
        """The request: there is a training if it is there."""
        return self.path / "request.json"

    @property
    def adapter(self) -> Path:
        """The folder of what comes out."""
        return self.path / "adapter"

    @property
    def log(self) -> Path:
        """What the process writes to its standard error."""
        return self.path / "log.txt"

    def request(self) -> LocalRequest:
        """Return the request."""
        return LocalRequest.model_validate_json(self.request_file.read_bytes())

    def state(self) -> LocalState:
        """Return how far the training is."""
        try:
            return LocalState.model_validate_json((self.path / "state.json").read_bytes())
        except OSError:
            return LocalState()

    def write(self, name: str, document: BaseModel) -> None:
        """Write a document whole or not at all."""
        write_atomically(self.path / name, document.model_dump_json(indent=1).encode())

    def write_losses(self, points: Sequence[LossPoint]) -> None:
        """Write the losses of all steps."""
        lines = "".join(f"{point.model_dump_json()}\n" for point in points)
        write_atomically(self.path / "losses.jsonl", lines.encode())

    def losses(self) -> list[LossPoint]:
        """Return the losses of all steps so far."""
        try:
            lines = (self.path / "losses.jsonl").read_bytes().splitlines()
        except OSError:
            return []
        return [LossPoint.model_validate_json(line) for line in lines]

    def watch(self) -> None:
        """Let the process know that somebody looks at it."""
        (self.path / "watched").touch()

    @property
    def is_watched(self) -> bool:
        """Whether somebody looked at it lately."""
        try:
            return time.time() - (self.path / "watched").stat().st_mtime < UNWATCHED_S
        except OSError:
            return False

    def cancel(self) -> None:
        """Ask the process to end for good."""
        (self.path / "cancelled").touch()

    @property
    def is_cancelled(self) -> bool:
        """Whether the training was cancelled."""
        return (self.path / "cancelled").exists()

    def lock(self) -> FileLock:
        """Return the lock that the process holds while it lives."""
        return FileLock(self.path / "lock", timeout=_LOCK_WAIT_S)

    def base_lock(self, request: LocalRequest) -> FileLock:
        """Return the lock under which a base is converted."""
        place = Path(f"{request.base}.lock")
        place.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(place)

    @property
    def is_held(self) -> bool:
        """Whether a process trains now."""
        try:
            with FileLock(self.path / "lock", timeout=0):
                return False
        except Timeout:
            return True

    def add_start(self) -> None:
        """Note that a process starts, and at which checkpoint."""
        with (self.path / "starts").open("a", encoding="ascii") as out:
            out.write(f"{self.state().checkpoint}\n")

    def starts(self) -> list[int]:
        """Return the checkpoint at each start so far."""
        try:
            text = (self.path / "starts").read_text(encoding="ascii")
        except OSError:
            return []
        return [int(line) for line in text.split()]

    def forget_starts(self) -> None:
        """Forget the starts so far."""
        (self.path / "starts").unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the last line that the process wrote to its log; "" for nothing."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][-_LAST_WORDS:] if lines else ""
