"""OpenAI's fine-tuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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

URL: Final = "https://api.openai.com/v1"
_MARK: Final = "kiln_finetune"
_STATES: Final[Mapping[str, TrainingState]] = {
    "validating_files": TrainingState.PENDING,
    "queued": TrainingState.PENDING,
    "paused": TrainingState.PENDING,
    "running": TrainingState.RUNNING,
    "succeeded": TrainingState.COMPLETED,
    "failed": TrainingState.FAILED,
    "cancelled": TrainingState.CANCELLED,
}
_NAMES: Final[Mapping[str, str]] = {
    "epochs": "n_epochs",
    "batch_size": "batch_size",
    "learning_rate_multiplier": "learning_rate_multiplier",
}
_LIMITS: Final = FileLimits(largest_bytes=512_000_000)


@dataclass(frozen=True, slots=True)
class OpenAITuning(HostedTuning):
    """Trains at OpenAI, or at a server that offers the same interface."""

    client: ServiceClient
    title: str = "OpenAI"
    is_local: bool = False
    fewest_examples: int = 10
    limits: FileLimits = _LIMITS
    shapes: Sequence[ExportFormat] = (
        ExportFormat.OPENAI_CHAT,
        ExportFormat.OPENAI_JSON,
        ExportFormat.OPENAI_TOOL,
    )
    hyperparameters: Sequence[Hyperparameter] = (
        Hyperparameter("epochs", "integer", 1, 50),
        Hyperparameter("batch_size", "integer", 1, 256),
        Hyperparameter("learning_rate_multiplier", "number", 0.001, 10),
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
        return await upload_chat_files(self.client, "/files", request)

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start the training."""
        settings: JsonObject = {
            _NAMES[name]: value for name, value in request.parameters.items() if name in _NAMES
        }
        body: JsonObject = {
            "model": request.base_model,
            **files,
            "seed": request.seed,
            "suffix": request.name[-40:],
            "metadata": {_MARK: request.name},
            "method": {"type": "supervised", "supervised": {"hyperparameters": settings}},
        }
        action = f"start the training of {request.base_model}"
        reply = await self.client.post("/fine_tuning/jobs", action, body)
        return text_at(reply, "id")

    async def find(self, name: str) -> str | None:
        """Return the id of the training that carries the name."""
        reply = await self.client.get(
            f"/fine_tuning/jobs?limit=100&metadata%5B{_MARK}%5D={name}", "list its trainings"
        )
        trainings = reply.get("data")
        for training in trainings if isinstance(trainings, list) else []:
            if text_at(training, "metadata", _MARK) == name:
                return text_at(training, "id")
        return None

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far the training is."""
        reply = await self.client.get(f"/fine_tuning/jobs/{training_id}", "tell how far it is")
        state = _STATES.get(text_at(reply, "status"), TrainingState.UNKNOWN)
        message = text_at(reply, "error", "message") or text_at(reply, "status")
        return TrainingStatus(state, message, text_at(reply, "fine_tuned_model"))

    async def stop(self, training_id: str) -> None:
        """Cancel the training."""
        await self.client.cancel(f"/fine_tuning/jobs/{training_id}/cancel")

    async def deploy(self, model: str, name: str) -> str:
        """Return the engine's name: the model answers as soon as it is trained."""
        return f"openai/{model}"


def open_provider(settings: EngineSettings) -> OpenAITuning:
    """Return the provider with the person's settings."""
    environment = settings.environment
    url = environment.get("OPENAI_BASE_URL") or environment.get("OPENAI_API_BASE") or URL
    return OpenAITuning(ServiceClient("OpenAI", url.rstrip("/"), ("OPENAI_API_KEY",), settings))
