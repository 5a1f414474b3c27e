"""LoRA on this machine, as a provider."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio
import anyio.to_thread

from kiln_mcp.llm import EngineSettings
from kiln_mcp.llm.providers.tuned_files import PREFIX, TunedModel, add_tuned_model
from kiln_mcp.tuning.formats import ExportFormat
from kiln_mcp.tuning.line_files import copy_file, digest_of
from kiln_mcp.tuning.local.bases import Base, base_elsewhere, find_base
from kiln_mcp.tuning.local.child_process import ChildProcesses, TrainerProcesses
from kiln_mcp.tuning.local.cluster_jobs import ClusterJobs
from kiln_mcp.tuning.local.loss_curves import draw_losses
from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.work_folder import LocalRequest, LocalState, WorkFolder
from kiln_mcp.tuning.providers.provider import (
    Draft,
    FileLimits,
    Forecast,
    Hyperparameter,
    TrainingRequest,
    TrainingState,
    TrainingStatus,
    Value,
)
from storage.atomic_write import write_atomically
from storage.errors import Refusal

TUNED_FOLDER: Final = "tuned_models"
"""Beside the project's records; git ignores it, since an adapter is large."""
_LOOK_S: Final = 600.0
"""So long the memory that was free, and the time to expect, are believed."""
_MOST_STARTS: Final = 3
"""So many starts without a new checkpoint between them are no accident."""
_FILES: Final = (
    "adapter.gguf",
    "adapter_config.json",
    "adapter_model.safetensors",
    "README.md",
    "losses.svg",
    "losses.jsonl",
)
_LIMITS: Final = FileLimits()


@dataclass(frozen=True, slots=True)
class LocalTuning:
    """Trains on this machine.

    Attributes:
        work: The folder of all trainings, in the home.
        settings: The person's settings.
        processes: Starts the processes that train.
        is_elsewhere: Whether they run on other machines, which have the base.
    """

    work: Path
    settings: EngineSettings
    processes: TrainerProcesses
    is_elsewhere: bool = False
    title: str = "this machine"
    is_local: bool = True
    fewest_examples: int = 1
    limits: FileLimits = _LIMITS
    shapes: Sequence[ExportFormat] = (ExportFormat.HUGGINGFACE,)
    hyperparameters: Sequence[Hyperparameter] = (
        Hyperparameter("epochs", "integer", 1, 100, default=3),
        Hyperparameter("batch_size", "integer", 1, 1024, default=8),
        Hyperparameter("learning_rate", "number", 1e-7, 1),
        Hyperparameter("lora_rank", "integer", 1, 512, default=16),
        Hyperparameter("lora_alpha", "number", 0.1, 1024, default=32),
        Hyperparameter("lora_dropout", "number", 0, 0.9, default=0.0),
        Hyperparameter("weight_decay", "number", 0, 1, default=0.0),
        Hyperparameter("warmup_ratio", "number", 0, 0.9, default=0.1),
        Hyperparameter("patience", "integer", 0, 100, default=2),
        Hyperparameter("max_tokens", "integer", 16, 131_072, default=2048),
        Hyperparameter("checkpoint_steps", "integer", 1, 100_000, default=10),
        Hyperparameter("threads", "integer", 1, 64, default=1),
        Hyperparameter("niceness", "integer", 0, 19, default=10),
        Hyperparameter("most_hours", "number", 0.01, 1000, default=24),
        Hyperparameter("qlora", "text", choices=("no", "yes"), default="no"),
        Hyperparameter("report_to", "text", choices=("none", "trackio", "wandb"), default="none"),
    )

    @property
    def address(self) -> str:
        """Data is sent nowhere."""
        return ""

    async def check(self, base_model: str) -> None:
        """Refuse if the extra is missing, or the base is not on this machine.

        Raises:
            Refusal: The extra is missing; the sentence says how to install it.
            InvalidValue: There is no such base model on this machine.
        """
        self.processes.check()
        await anyio.to_thread.run_sync(self._base, base_model)

    async def look(self, draft: Draft) -> Forecast:
        """Look at the base, the tokens, the memory and the time, in a process of its own.

        Raises:
            Refusal: The training cannot work here; the sentence says why.
            InvalidValue: There is no such base model on this machine.
        """
        base = await anyio.to_thread.run_sync(self._base, draft.base_model)
        request = _local_request(base, draft.parameters, draft.seed)
        outlook = await self._outlook(request, draft.train)
        if outlook.refusal:
            raise Refusal(
                "Nothing was trained: {base} cannot be trained here: {reason}.",
                base=draft.base_model,
                reason=outlook.refusal,
            )
        return _forecast(outlook)

    async def _outlook(self, request: LocalRequest, train: Path) -> Outlook:
        """Return what is known of a training, or what a recent look has said."""
        content = await anyio.to_thread.run_sync(digest_of, train)
        digest = sha256(f"{request.model_dump_json()}{content}".encode()).hexdigest()[:24]
        note = self.work / f"look-{digest}.json"
        if (earlier := await anyio.to_thread.run_sync(_read_look, note)) is not None:
            return earlier
        folder = WorkFolder(self.work / f"look-{uuid4().hex[:12]}")

        def prepare() -> None:
            folder.path.mkdir(parents=True)
            copy_file(train, folder.path / request.train)
            folder.write("request.json", request)

        try:
            await anyio.to_thread.run_sync(prepare)
            outlook = await self.processes.examine(folder)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(shutil.rmtree, folder.path, True)
        if not outlook.refusal:
            text = outlook.model_dump_json().encode()
            await anyio.to_thread.run_sync(write_atomically, note, text)
        return outlook

    async def upload(self, request: TrainingRequest) -> Mapping[str, str]:
        """Copy the data into the folder of the training."""

        def copy() -> dict[str, str]:
            folder = self._folder(request.name)
            folder.path.mkdir(parents=True, exist_ok=True)
            files = {"train": request.train_file, "validation": request.validation_file}
            for role, path in files.items():
                if path is not None:
                    copy_file(path, folder.path / f"{role}.jsonl")
            return {role: f"{role}.jsonl" for role, path in files.items() if path is not None}

        return await anyio.to_thread.run_sync(copy)

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start the process that trains."""
        folder = self._folder(request.name)

        def begin() -> None:
            base = self._base(request.base_model)
            digest = digest_of(folder.path / files["train"])
            local = _local_request(base, request.parameters, request.seed)
            fields = {
                "train": files["train"],
                "validation": files.get("validation"),
                "fingerprint": digest,
                "project": str(request.project),
                "is_watched": not self.is_elsewhere,
                "may_download": self.is_elsewhere,
            }
            folder.watch()
            folder.write("request.json", local.model_copy(update=fields))
            self._start_process(folder)

        await anyio.to_thread.run_sync(begin)
        return request.name

    async def find(self, name: str) -> str | None:
        """Return the id of the training, which is its name."""
        return name if self._folder(name).request_file.is_file() else None

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far the training is; start its process again if it was killed."""
        return await anyio.to_thread.run_sync(self._status, self._folder(training_id))

    def _status(self, folder: WorkFolder) -> TrainingStatus:
        folder.watch()
        state = folder.state()
        if folder.is_cancelled:
            return TrainingStatus(TrainingState.CANCELLED, "it was cancelled")
        if state.state not in {"completed", "failed"} and not self.processes.is_started(folder):
            state = folder.state()  # it may have ended between the two looks
            if state.state not in {"completed", "failed"}:
                return self._start_again(folder, state)
        if points := folder.losses():
            picture = draw_losses(points, state.steps).encode()
            write_atomically(folder.path / "losses.svg", picture)
        model = str(folder.path) if state.state == "completed" else ""
        kind = TrainingState(state.state)
        return TrainingStatus(kind, state.message, model, state.step, state.steps)

    def _start_again(self, folder: WorkFolder, state: LocalState) -> TrainingStatus:
        """Start the process from its checkpoint, unless it ends several times at the same one."""
        starts = folder.starts()
        if starts[-_MOST_STARTS:] == [state.checkpoint] * _MOST_STARTS:
            words = folder.last_words() or "nothing; the system may have ended it for its memory"
            message = (
                f"its process ended {_MOST_STARTS} times at step {state.step}, saying: {words}"
            )
            failed = state.model_copy(update={"state": "failed", "message": message})
            folder.write("state.json", failed)
            return TrainingStatus(TrainingState.FAILED, message)
        self._start_process(folder)
        message = f"its process had ended; it goes on from step {state.checkpoint}"
        return TrainingStatus(TrainingState.RUNNING, message, "", state.checkpoint, state.steps)

    def _start_process(self, folder: WorkFolder) -> None:
        folder.add_start()
        self.processes.start(folder)

    async def go_on(self, training_id: str) -> None:
        """Let a failed training go on from its last checkpoint; `status` starts its process."""

        def forget_failure() -> None:
            folder = self._folder(training_id)
            state = folder.state()
            if state.state == "failed" and not folder.is_cancelled:
                folder.forget_starts()
                folder.write("state.json", state.model_copy(update={"state": "pending"}))

        await anyio.to_thread.run_sync(forget_failure)

    async def cancel(self, training_id: str) -> None:
        """End the process; one that has ended stays as it is."""
        folder = self._folder(training_id)
        if folder.state().state not in {"completed", "failed"}:
            await anyio.to_thread.run_sync(folder.cancel)

    async def deploy(self, model: str, name: str) -> str:
        """Put the adapter beside the project, and list it; return the engine's name."""
        return await anyio.to_thread.run_sync(self._deploy, WorkFolder(Path(model)), name)

    def _deploy(self, folder: WorkFolder, name: str) -> str:
        request = folder.request()
        slug = f"{_slug(name)}-{folder.path.name[-4:]}"
        place = Path(request.project) / TUNED_FOLDER
        target = place / slug
        target.mkdir(parents=True, exist_ok=True)
        if not (place / ".gitignore").exists():
            write_atomically(place / ".gitignore", b"*\n")
        for file in _FILES:
            source = folder.adapter / file
            if source.is_file():  # an earlier attempt may have moved some
                shutil.copyfile(source, target / file)
        tuned_model = TunedModel(
            f"{PREFIX}{slug}",
            str(target),
            request.gguf or request.base,
            request.title,
            "llama.cpp" if request.gguf else "transformers",
        )
        if self.settings.tuned_models is not None:
            add_tuned_model(self.settings.tuned_models, tuned_model)
        shutil.rmtree(folder.adapter, ignore_errors=True)
        return tuned_model.name

    def _folder(self, name: str) -> WorkFolder:
        return WorkFolder(self.work / name)

    def _base(self, name: str) -> Base:
        if self.is_elsewhere:
            return base_elsewhere(name)
        settings = self.settings
        bases = self.work.parent / "bases"
        return find_base(name, bases, settings.embedded.path, settings.environment)


def _local_request(base: Base, parameters: Mapping[str, Value], seed: int) -> LocalRequest:
    return LocalRequest(
        title=base.title,
        base=str(base.folder),
        gguf=None if base.gguf is None else str(base.gguf),
        licence=base.licence,
        parameters=dict(parameters),
        seed=seed,
    )


def _read_look(note: Path) -> Outlook | None:
    """Return what a look said a short while ago; None if that is too old or not there."""
    try:
        if time.time() - note.stat().st_mtime > _LOOK_S:
            return None
        return Outlook.model_validate_json(note.read_bytes())
    except (OSError, ValueError):
        return None


def _forecast(outlook: Outlook) -> Forecast:
    return Forecast(
        sentence=outlook.sentence,
        learnt=outlook.excerpts,
        tokens=outlook.tokens or None,
    )


def _slug(name: str) -> str:
    """Return a name in lower-case letters, digits and hyphens."""
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in name.casefold()).split()
    return "-".join(words)[:60] or "model"


def open_provider(settings: EngineSettings) -> LocalTuning:
    """Return the provider that trains here, with the person's settings.

    Raises:
        Refusal: The settings name no home.
    """
    return LocalTuning(_work(settings), settings, ChildProcesses(settings.environment))


def open_cluster(settings: EngineSettings) -> LocalTuning:
    """Return the provider that writes a job for the person's cluster.

    Raises:
        Refusal: The settings name no home.
    """
    return LocalTuning(
        _work(settings), settings, ClusterJobs(), is_elsewhere=True, title="your cluster"
    )


def _work(settings: EngineSettings) -> Path:
    """Return the folder of all trainings.

    Raises:
        Refusal: The settings name no home.
    """
    if settings.tuned_models is None:
        raise Refusal(
            "Nothing was trained: training on this machine needs a home, and these settings name "
            "none. Set `tuned_models` in the engine's settings."
        )
    return settings.tuned_models.parent / "trainings"
