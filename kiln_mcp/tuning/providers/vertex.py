"""Google Vertex AI's supervised tuning of Gemini: the files lie in the person's bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

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
    UploadFile,
    text_at,
)

STORAGE_URL: Final = "https://storage.googleapis.com"
TOKEN: Final = "CLOUDSDK_AUTH_ACCESS_TOKEN"
PROJECT: Final = ("VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")
LOCATION: Final = ("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION")
_STATES: Final[Mapping[str, TrainingState]] = {
    "JOB_STATE_QUEUED": TrainingState.PENDING,
    "JOB_STATE_PENDING": TrainingState.PENDING,
    "JOB_STATE_PAUSED": TrainingState.PENDING,
    "JOB_STATE_RUNNING": TrainingState.RUNNING,
    "JOB_STATE_UPDATING": TrainingState.RUNNING,
    "JOB_STATE_CANCELLING": TrainingState.RUNNING,
    "JOB_STATE_SUCCEEDED": TrainingState.COMPLETED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": TrainingState.COMPLETED,
    "JOB_STATE_FAILED": TrainingState.FAILED,
    "JOB_STATE_EXPIRED": TrainingState.FAILED,
    "JOB_STATE_CANCELLED": TrainingState.CANCELLED,
}
_SIZES: Final = {"1": "ONE", "2": "TWO", "4": "FOUR", "8": "EIGHT", "16": "SIXTEEN"}
_LIMITS: Final = FileLimits(
    most_examples=1_000_000, most_validation_examples=5000, largest_bytes=1_000_000_000
)


@dataclass(frozen=True, slots=True)
class VertexTuning(HostedTuning):
    """Trains at Vertex AI.

    Attributes:
        client: Its requests.
        storage: Requests to the storage of the bucket.
        project: The person's project there; "" if it is not set.
        location: Where it is trained, as "us-central1".
    """

    client: ServiceClient
    storage: ServiceClient
    project: str
    location: str
    title: str = "Vertex AI"
    is_local: bool = False
    fewest_examples: int = 10
    limits: FileLimits = _LIMITS
    shapes: Sequence[ExportFormat] = (ExportFormat.VERTEX,)
    hyperparameters: Sequence[Hyperparameter] = (
        Hyperparameter(
            "bucket", "text", is_required=True, meaning="your bucket, such as gs://my-bucket"
        ),
        Hyperparameter("epochs", "integer", 1, 100),
        Hyperparameter("learning_rate_multiplier", "number", 0.001, 10),
        Hyperparameter("adapter_size", "text", choices=tuple(_SIZES)),
    )

    @property
    def address(self) -> str:
        """Where data is sent."""
        return f"{self.client.url} and {self.storage.url}"

    @property
    def _root(self) -> str:
        return f"/projects/{self.project}/locations/{self.location}"

    async def check(self, base_model: str) -> None:
        """Refuse if there is no token or no project."""
        await self.client.key()
        if not self.project:
            raise KeyProblem(
                "Nothing was sent: Vertex AI needs the name of your project. Set {variable} in the "
                "environment that your client, or terminal, starts kiln-mcp with.",
                variable=" or ".join(PROJECT),
            )

    async def upload(self, request: TrainingRequest) -> Mapping[str, str]:
        """Put the files into the bucket, under the request's name."""
        bucket = str(request.parameters["bucket"]).removeprefix("gs://").strip("/")
        files = {
            "trainingDatasetUri": request.train_file,
            "validationDatasetUri": request.validation_file,
        }
        places: dict[str, str] = {}
        for role, path in files.items():
            if path is not None:
                name = f"{request.name}/{path.name}"
                address = f"/upload/storage/v1/b/{quote(bucket)}/o?uploadType=media&name="
                file = UploadFile(path, {}, path.name, field="")
                action = f"take the file {path.name}"
                await self.storage.upload(address + quote(name, safe=""), action, file)
                places[role] = f"gs://{bucket}/{name}"
        return places

    async def start(self, request: TrainingRequest, files: Mapping[str, str]) -> str:
        """Start the training."""
        values = request.parameters
        settings: JsonObject = {}
        if "epochs" in values:
            settings["epochCount"] = str(values["epochs"])
        if "learning_rate_multiplier" in values:
            settings["learningRateMultiplier"] = values["learning_rate_multiplier"]
        if "adapter_size" in values:
            settings["adapterSize"] = f"ADAPTER_SIZE_{_SIZES[str(values['adapter_size'])]}"
        body: JsonObject = {
            "baseModel": request.base_model,
            "supervisedTuningSpec": {**files, "hyperParameters": settings},
            "tunedModelDisplayName": request.name,
        }
        action = f"start the training of {request.base_model}"
        reply = await self.client.post(f"{self._root}/tuningJobs", action, body)
        return text_at(reply, "name")

    async def find(self, name: str) -> str | None:
        """Return the id of the training whose model carries the name."""
        reply = await self.client.get(f"{self._root}/tuningJobs?pageSize=100", "list its trainings")
        trainings = reply.get("tuningJobs")
        for training in trainings if isinstance(trainings, list) else []:
            if text_at(training, "tunedModelDisplayName") == name:
                return text_at(training, "name")
        return None

    async def status(self, training_id: str) -> TrainingStatus:
        """Return how far the training is."""
        reply = await self.client.get(f"/{training_id}", "tell how far it is")
        state = _STATES.get(text_at(reply, "state"), TrainingState.UNKNOWN)
        message = text_at(reply, "error", "message") or text_at(reply, "state")
        return TrainingStatus(state, message, text_at(reply, "tunedModel", "endpoint"))

    async def stop(self, training_id: str) -> None:
        """Cancel the training."""
        await self.client.cancel(f"/{training_id}:cancel")

    async def deploy(self, model: str, name: str) -> str:
        """Return the engine's name: Vertex AI has made an endpoint by itself."""
        return f"vertex_ai/gemini/{model.rpartition('/')[2]}"


def open_provider(settings: EngineSettings) -> VertexTuning:
    """Return the provider with the person's settings."""
    environment = settings.environment
    location = _first(environment, LOCATION) or "us-central1"
    url = environment.get("VERTEXAI_API_BASE") or (
        f"https://{location}-aiplatform.googleapis.com/v1"
    )
    client = ServiceClient("Vertex AI", url.rstrip("/"), (TOKEN,), settings)
    storage_url = environment.get("STORAGE_EMULATOR_HOST") or STORAGE_URL
    storage = replace(client, title="Google Cloud Storage", url=storage_url.rstrip("/"))
    return VertexTuning(client, storage, _first(environment, PROJECT), location)


def _first(environment: Mapping[str, str], names: Sequence[str]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")
