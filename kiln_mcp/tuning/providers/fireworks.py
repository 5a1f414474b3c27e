"""Fireworks' supervised fine-tuning: LoRA, deployed without a server of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm import EngineSettings
from kiln_mcp.llm.errors import KeyProblem
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
    ServiceFailure,
    UploadFile,
    text_at,
)

URL: Final = "https://api.fireworks.ai/v1"
ACCOUNT: Final = "FIREWORKS_ACCOUNT_ID"
_NOT_FOUND: Final = 404
_EXISTS: Final = 409
_MOST_LOOKS: Final = 450
_STATES: Final[Mapping[str, TrainingState]] = {
    "JOB_STATE_CREATING": TrainingState.PENDING,
    "JOB_STATE_PENDING": TrainingState.PENDING,
    "JOB_STATE_VALIDATING": TrainingState.PENDING,
    "JOB_STATE_RUNNING": TrainingState.RUNNING,
    "JOB_STATE_WRITING_RESULTS": TrainingState.RUNNING,
    "JOB_STATE_DELETING": TrainingState.RUNNING,
    "JOB_STATE_COMPLETED": TrainingState.COMPLETED,
    "JOB_STATE_FAILED": TrainingState.FAILED,
    "JOB_STATE_CANCELLED": TrainingState.CANCELLED,
    "JOB_STATE_EXPIRED": TrainingState.FAILED,
}
_NAMES: Final[Mapping[str, str]] = {
    "epochs": "epochs",
    "learning_rate": "learningRate",
    "batch_size": "batchSize",
    "lora_rank": "loraRank",
}
_LIMITS: Final = FileLimits(
    most_examples=3_000_000,
    fewest_validation_examples=3,
    most_validation_examples=3_000_000,
    largest_bytes=150_000_000,
    takes_later_system=False,
)


@dataclass(frozen=True, slots=True)
class FireworksTuning(HostedTuning):
    """Trains at Fireworks.

    Attributes:
        client: Its requests.
        account: The person's account there; "" if it is not set.
        poll_s: How often a data set is looked at until it is ready.
    """

    client: ServiceClient
    account: str
    poll_s: float = 2.0
    title: str = "Fireworks"
    is_local: bool = False
    fewest_examples: int = 3
    limits: FileLimits = _LIMITS
    shapes: Sequence[ExportFormat] = (
        ExportFormat.OPENAI_CHAT,
        ExportFormat.OPENAI_JSON,
        ExportFormat.OPENAI_TOOL,
    )
    hyperparameters: Sequence[Hyperparameter] = (
        Hyperparameter("epochs", "integer", 1, 10, default=1),
        Hyperparameter("learning_rate", "number", 1e-7, 0.01),
        Hyperparameter("batch_size", "integer", 1, 1_000_000),
        Hyperparameter("lora_rank", "integer", 1, 32, default=8),
    )

    @property
    def address(self) -> str:
        """Where data is sent."""
        return self.client.url

    @property
    def _root(self) -> str:
        return f"/accounts/{self.account}"

    async def check(self, base_model: str) -> None:
        """Refuse if there is no key or no account."""
        await self.client.key()
        if not self.account:
            raise KeyProblem(
                "Nothing was sent: Fireworks needs the name of your account. Set {variable} in the "
                "environment that your client, or terminal, starts kiln-mcp with.",
                variable=ACCOUNT,
            )

    async def upload(self, request: TrainingRequest) -> Mapping[str, str]:
        """Upload the files as data sets, and wait until these are ready."""
        files = {
            "dataset": (request.train_file, request.train_examples),
            "evaluationDataset": (request.validation_file, request.validation_examples),
        }
        names: dict[str, str] = {}
        for role, (path, count) in files.items():
            if path is None:
                continue
            name = f"{request.name}-{'train' if role == 'dataset' else 'validation'}"
            action = f"take the file {path.name}"
            data_set: JsonObject = {"exampleCount": str(count), "userUploaded": {}}
            body: JsonObject = {"datasetId": name, "dataset": data_set}
            try:
                await self.client.post(f"{self._root}/datasets", action, body)
            except ServiceFailure as error:
                if error.status != _EXISTS:  # an earlier attempt made it
                    raise
            place = f"{self._root}/datasets/{name}"
            if not await self._is_ready(place):
                await self.client.upload(f"{place}:upload", action, UploadFile(path, {}, path.name))
                await self._wait_until_ready(place, path.name)
            names[role] = place.removeprefix("/")
        return names

    async def _wait_until_ready(self, place: str, file: str) -> None:
        for _ in range(_MOST_LOOKS):
            if await self._is_ready(place):
                return
            await anyio.sleep(self.poll_s)
        action = f"read the file {file} within {_MOST_LOOKS * self.poll_s / 60:g} minutes"
        raise ServiceFailure(self.title, action, "it still checks it")

    async def _is_ready(self, place: str) -> bool:
        reply = await self.client.get(place, "tell whether the data is there")
        return text_at(reply, "state") == "READY"

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start the training, under the request's own name."""
        body: JsonObject = {
            "displayName": request.name,
            "baseModel": request.base_model,
            "outputModel": f"accounts/{self.account}/models/{request.name}",
            **files,
            **{_NAMES[name]: value for name, value in request.parameters.items() if name in _NAMES},
        }
        path = f"{self._root}/supervisedFineTuningJobs?supervisedFineTuningJobId={request.name}"
        action = f"start the training of {request.base_model}"
        try:
            await self.client.post(path, action, body, is_repeatable=True)
        except ServiceFailure as error:
            if error.status != _EXISTS:  # an earlier attempt started it
                raise
        return request.name

    async def find(self, name: str) -> str | None:
        """Return the id of the training, which is its name."""
        try:
            await self.client.get(
                f"{self._root}/supervisedFineTuningJobs/{name}", "tell how far it is"
            )
        except ServiceFailure as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return name

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far the training is."""
        reply = await self.client.get(
            f"{self._root}/supervisedFineTuningJobs/{training_id}", "tell how far it is"
        )
        state = _STATES.get(text_at(reply, "state"), TrainingState.UNKNOWN)
        message = text_at(reply, "status", "message") or text_at(reply, "state")
        model = text_at(reply, "outputModel") if state is TrainingState.COMPLETED else ""
        return TrainingStatus(state, message, model)

    async def stop(self, training_id: str) -> None:
        """Delete the training, which stops it."""
        path = f"{self._root}/supervisedFineTuningJobs/{training_id}"
        await self.client.delete(path, "cancel the training")

    async def deploy(self, model: str, name: str) -> str:
        """Deploy the adapter, unless it is deployed; return the engine's name."""
        body: JsonObject = {"model": model, "displayName": name, "serverless": True}
        try:
            await self.client.post(
                f"{self._root}/deployedModels", f"deploy {model}", body, is_repeatable=True
            )
        except ServiceFailure as error:
            if error.status != _EXISTS:
                raise
        return f"fireworks_ai/{model}"


def open_provider(settings: EngineSettings) -> FireworksTuning:
    """Return the provider with the person's settings."""
    environment = settings.environment
    url = environment.get("FIREWORKS_API_BASE") or URL
    keys = ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY")
    client = ServiceClient("Fireworks", url.rstrip("/"), keys, settings)
    return FireworksTuning(client, environment.get(ACCOUNT, ""))
