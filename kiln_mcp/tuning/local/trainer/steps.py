"""The steps of a training: exact to the last bit after a kill, on the same machine."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.base_model import Device
from kiln_mcp.tuning.local.trainer.batches import epoch_order, loss_of, make_batch
from kiln_mcp.tuning.local.trainer.checkpoints import load_checkpoint, save_checkpoint
from kiln_mcp.tuning.local.trainer.examples import TokenExample
from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.trainer.loss_watch import divergence, is_stale, validations
from kiln_mcp.tuning.local.trainer.trackers import NoTracker, Tracker
from kiln_mcp.tuning.local.work_folder import LocalRequest, LocalState, LossPoint, WorkFolder
from storage.errors import WriteError

_CLIP: Final = 1.0
"""The largest norm of the gradient, as it is usual."""
_SPEED_STEPS: Final = 10
_TELL_S: Final = 1.0
"""The disk is waited for when it is told how far a training is: not at each quick step."""


@dataclass(slots=True)
class Training:
    """A training in progress.

    Attributes:
        folder: Where it tells how far it is.
        request: What was asked.
        model: The base with its new weights.
        device: Where it is computed.
        examples: What is learnt.
        validation: What it is validated on.
        filler: The token to fill up with.
        points: The losses so far.
        best: The new weights with the lowest validation loss; None before the first validation.
        checkpoint: The step of the last checkpoint.
        trouble: Why the last checkpoint could not be written; "" if it could.
        told_at: When it was last told how far the training is.
        tracker: Shows the losses elsewhere.
        epoch_batches: The epoch that is read, from 0, and its batches.
    """

    folder: WorkFolder
    request: LocalRequest
    model: Any
    device: Device
    examples: Sequence[TokenExample]
    validation: Sequence[TokenExample]
    filler: int
    points: list[LossPoint] = field(default_factory=list[LossPoint])
    best: dict[str, Any] | None = None
    checkpoint: int = 0
    trouble: str = ""
    told_at: float = 0.0
    tracker: Tracker = field(default_factory=NoTracker)
    epoch_batches: tuple[int, list[list[int]]] | None = None

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        return float(self.request.parameters[name])

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        return int(self.number("batch_size"))

    @property
    def steps_an_epoch(self) -> int:
        """Steps that read all examples once."""
        return -(-len(self.examples) // self.batch_size)

    @property
    def steps(self) -> int:
        """All steps."""
        return self.steps_an_epoch * int(self.number("epochs"))

    def run(self, stop: threading.Event) -> bool:
        """Train to the end; return False if it was stopped, with a checkpoint.

        Raises:
            Unusable: The training diverges.
        """
        optimizer = self.new_optimizer()
        self._resume(optimizer)
        self.tell()
        while len(self.points) < self.steps and not self._has_ended():
            if stop.is_set():
                self._save(optimizer)
                self.tell()
                return False
            self.take_step(optimizer)
            if len(self.points) % int(self.number("checkpoint_steps")) == 0:
                self._save(optimizer)
            if time.perf_counter() - self.told_at > _TELL_S:
                self.tell()
        self.tell()
        if self.best is not None:
            self.model.load_state_dict(self.best, strict=False)
        return True

    def new_optimizer(self) -> Any:
        """Return an optimizer of the new weights."""
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        return library("torch").optim.AdamW(
            weights, lr=self.number("learning_rate"), weight_decay=self.number("weight_decay")
        )

    def take_step(self, optimizer: Any) -> None:
        """Learn one batch, and note its loss.

        Raises:
            Unusable: The training diverges.
        """
        started, step = time.perf_counter(), len(self.points)
        epoch, place = divmod(step, self.steps_an_epoch)
        batch_examples = [self.examples[number] for number in self._batches(epoch)[place]]
        batch = make_batch(batch_examples, self.filler, self.device.name)
        for group in optimizer.param_groups:
            group["lr"] = self.number("learning_rate") * self._warmth(step)
        self.model.train()
        total, count = loss_of(self.model, batch)
        loss = total / count
        loss.backward()
        library("torch").nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], _CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        point = LossPoint(
            step=step + 1, loss=float(loss.detach()), tokens=batch.tokens, seconds=seconds
        )
        if reason := divergence([*self.points, point]):
            self.points.append(point)
            advice = (
                "Fetch the base again, or take another one"
                if point.step == 1
                else f"Train again with a lower learning_rate than {self.number('learning_rate'):g}"
            )
            raise Unusable(f"it diverges: {reason}. {advice}")
        if self.validation and (place + 1 == self.steps_an_epoch):
            point = point.model_copy(update={"validation": self.validate()})
        self.points.append(point)
        self.tracker.log(point)
        self._keep_best()

    def _batches(self, epoch: int) -> list[list[int]]:
        """Return the batches of an epoch, made once."""
        if self.epoch_batches is None or self.epoch_batches[0] != epoch:
            lengths = [len(example.ids) for example in self.examples]
            batches = epoch_order(lengths, self.batch_size, self.request.seed, epoch)
            self.epoch_batches = epoch, batches
        return self.epoch_batches[1]

    def _warmth(self, step: int) -> float:
        """Return the share of the learning rate at a step: it rises, then falls to 0."""
        rising = max(1, round(self.steps * self.number("warmup_ratio")))
        if step < rising:
            return (step + 1) / rising
        return (self.steps - step) / max(1, self.steps - rising)

    def validate(self) -> float:
        """Return the loss of the validation data, in nats a token."""
        torch, total, count = library("torch"), 0.0, 0
        self.model.eval()
        with torch.no_grad():
            for begin in range(0, len(self.validation), self.batch_size):
                part = self.validation[begin : begin + self.batch_size]
                loss, tokens = loss_of(self.model, make_batch(part, self.filler, self.device.name))
                total, count = total + float(loss), count + tokens
        return total / count

    def _keep_best(self) -> None:
        losses = [loss for _, loss in validations(self.points)]
        if losses and self.points[-1].validation == min(losses):
            self.best = {name: value.clone() for name, value in self._new_weights().items()}

    def _has_ended(self) -> bool:
        """Return whether the validation loss has stopped to fall."""
        patience = int(self.number("patience"))
        return patience > 0 and is_stale(self.points, patience)

    def _new_weights(self) -> dict[str, Any]:
        return {
            name: weight.detach()
            for name, weight in self.model.named_parameters()
            if weight.requires_grad
        }

    def _save(self, optimizer: Any) -> None:
        """Save a checkpoint; if the disk refuses, say so and go on with the last one."""
        torch = library("torch")
        values = {
            "weights": self._new_weights(),
            "optimizer": optimizer.state_dict(),
            "best": self.best,
            "points": [point.model_dump_json() for point in self.points],
            "random": torch.get_rng_state(),
            "gpu_random": torch.cuda.get_rng_state_all() if self.device.name == "cuda" else [],
        }
        try:
            save_checkpoint(self.folder.path, len(self.points), values)
        except (WriteError, RuntimeError) as error:
            # torch says RuntimeError where a write fails within its own archive.
            self.trouble = f"the checkpoint could not be written ({error}), the last one stays"
            return
        self.checkpoint, self.trouble = len(self.points), ""

    def _resume(self, optimizer: Any) -> None:
        """Take up the newest checkpoint, if there is one."""
        values = load_checkpoint(self.folder.path)
        if values is None:
            return
        torch = library("torch")
        self.model.load_state_dict(values["weights"], strict=False)
        optimizer.load_state_dict(values["optimizer"])
        self.best = values["best"]
        self.points = [LossPoint.model_validate_json(text) for text in values["points"]]
        self.checkpoint = len(self.points)
        torch.set_rng_state(values["random"])
        if values["gpu_random"]:
            torch.cuda.set_rng_state_all(values["gpu_random"])

    def tell(self) -> None:
        """Write how far it is, and the losses."""
        done = len(self.points)
        words = [f"step {done} of {self.steps} on {self.device.title}"]
        if self.points:
            words.append(f"loss {self.points[-1].loss:.3f}")
        if losses := validations(self.points):
            words.append(f"validation loss {losses[-1][1]:.3f}")
        if recent := self.points[-_SPEED_STEPS:]:
            seconds = sum(point.seconds for point in recent) or 1e-9
            speed = sum(point.tokens for point in recent) / seconds
            left = seconds / len(recent) * (self.steps - done)
            words += [f"{speed:.0f} tokens a second", f"about {left / 60:.0f} minutes left"]
        self.told_at = time.perf_counter()
        state = LocalState(
            state="running",
            step=done,
            steps=self.steps,
            checkpoint=self.checkpoint,
            message=", ".join([*words, self.trouble] if self.trouble else words),
        )
        try:
            self.folder.write("state.json", state)
            self.folder.write_losses(self.points)
        except WriteError:
            return  # a full disk stops the telling, and not the training
