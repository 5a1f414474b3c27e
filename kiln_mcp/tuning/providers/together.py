"""Together's fine-tuning: LoRA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import EngineSettings
from kiln_mcp.tuning.formats import ExportFormat
from kiln_mcp.tuning.providers.hosted import HostedTuning
from kiln_mcp.tuning.providers.provider import (
    FileLimits,
    Hyperparameter,
    TrainingRequest,
    TrainingState,
    TrainingStatus,
)
from kiln_mcp.tuning.providers.service_client import (
    JsonObject,
    ServiceClient,
    text_at,
    upload_chat_files,
)

URL: Final = "https://api.together.xyz/v1"
_STATES: Final[Mapping[str, TrainingState]] = {
    "pending": TrainingState.PENDING,
    "queued": TrainingState.PENDING,
    "running": TrainingState.RUNNING,
    "compressing": TrainingState.RUNNING,
    "uploading": TrainingState.RUNNING,
    "cancel_requested": TrainingState.RUNNING,
    "cancelled": TrainingState.CANCELLED,
    "error": TrainingState.FAILED,
    "user_error": TrainingState.FAILED,
    "completed": TrainingState.COMPLETED,
}
_NAMES: Final[Mapping[str, str]] = {
    "epochs": "n_epochs",
    "learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "num_checkpoints": "n_checkpoints",
    "warmup_ratio": "warmup_ratio",
    "max_grad_norm": "max_grad_norm",
    "weight_decay": "weight_decay",
}
_LORA: Final[Mapping[str, str]] = {
    "lora_rank": "lora_r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
}
_LIMITS: Final = FileLimits(largest_bytes=100_000_000_000, takes_later_system=False)


@dataclass(frozen=True, slots=True)
class TogetherTuning(HostedTuning):
    """Trains at Together."""

    client: ServiceClient
    title: str = "Together"
    is_local: bool = False
    fewest_examples: int = 1
    limits: FileLimits = _LIMITS
    shapes: Sequence[ExportFormat] = (
        ExportFormat.OPENAI_CHAT,
        ExportFormat.OPENAI_JSON,
        ExportFormat.OPENAI_TOOL,
    )
    hyperparameters: Sequence[Hyperparameter] = (
        Hyperparameter("epochs", "integer", 1, 20, default=3),
        Hyperparameter("learning_rate", "number", 1e-8, 0.01, default=1e-5),
        Hyperparameter("batch_size", "integer", 1, 1024),
        Hyperparameter("num_checkpoints", "integer", 1, 20, default=1),
        Hyperparameter("min_lr_ratio", "number", 0, 1, default=0.0),
        Hyperparameter("warmup_ratio", "number", 0, 1, default=0.0),
        Hyperparameter("max_grad_norm", "number", 0, 100, default=1.0),
        Hyperparameter("weight_decay", "number", 0, 1, default=0.0),
        Hyperparameter("lora_rank", "integer", 1, 64, default=16),
        Hyperparameter("lora_alpha", "integer", 1, 256, default=32),
        Hyperparameter("lora_dropout", "number", 0, 0.99, default=0.0),
    )

    @property
    def address(self) -> str:
        """Where data is sent."""
        return self.client.url

    async def check(self, base_model: str) -> None:
        """Refuse if there is no key."""
        await self.client.key()

    async def upload(self, request: TrainingRequest) -> Mapping[str, str]:
        """Upload the files."""
        return await upload_chat_files(self.client, "/files/upload", request)

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start the training."""
        values = request.parameters
        lora: JsonObject = {_LORA[name]: value for name, value in values.items() if name in _LORA}
        scheduler: JsonObject = {
            "lr_scheduler_type": "linear",
            "lr_scheduler_args": {"min_lr_ratio": values.get("min_lr_ratio", 0.0)},
        }
        body: JsonObject = {
            "model": request.base_model,
            **files,
            **{_NAMES[name]: value for name, value in values.items() if name in _NAMES},
            "lr_scheduler": scheduler,
            "training_type": {"type": "Lora", **lora},
            "train_on_inputs": False,
            "random_seed": request.seed,
            "suffix": request.name,
        }
        action = f"start the training of {request.base_model}"
        return text_at(await self.client.post("/fine-tunes", action, body), "id")

    async def find(self, name: str) -> str | None:
        """Return the id of the training whose model carries the name."""
        reply = await self.client.get("/fine-tunes", "list its trainings")
        trainings = reply.get("data")
        for training in trainings if isinstance(trainings, list) else []:
            if text_at(training, "suffix") == name or name in _model_of(training):
                return text_at(training, "id")
        return None

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far the training is."""
        reply = await self.client.get(f"/fine-tunes/{training_id}", "tell how far it is")
        state = _STATES.get(text_at(reply, "status"), TrainingState.UNKNOWN)
        events = reply.get("events")
        last = events[-1] if isinstance(events, list) and events else None
        model = _model_of(reply) if state is TrainingState.COMPLETED else ""
        return TrainingStatus(state, text_at(last, "message") or text_at(reply, "status"), model)

    async def stop(self, training_id: str) -> None:
        """Cancel the training."""
        await self.client.cancel(f"/fine-tunes/{training_id}/cancel")

    async def deploy(self, model: str, name: str) -> str:
        """Return the engine's name: the model answers as soon as it is trained."""
        return f"together_ai/{model}"


def _model_of(training: JsonValue) -> str:
    return text_at(training, "output_name") or text_at(training, "model_output_name")


def open_provider(settings: EngineSettings) -> TogetherTuning:
    """Return the provider with the person's settings."""
    environment = settings.environment
    url = environment.get("TOGETHER_AI_API_BASE") or environment.get("TOGETHER_AI_BASE_URL") or URL
    keys = ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY")
    return TogetherTuning(ServiceClient("Together", url.rstrip("/"), keys, settings))
