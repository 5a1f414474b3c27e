"""Services that train models, on the loopback: the documented interfaces of four providers.

A training runs for as many looks as a test says. Faults are taken one by one, by the action that
they befall.
"""

import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[Json]]
KEY = "sk-tuning-test-0123456789abcdef"
OPENAI_STATES = ("validating_files", "queued", "running", "succeeded")
TOGETHER_STATES = ("pending", "queued", "running", "uploading", "completed")
FIREWORKS_STATES = ("JOB_STATE_CREATING", "JOB_STATE_RUNNING", "JOB_STATE_COMPLETED")
VERTEX_STATES = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")


@dataclass
class Training:
    """A training that was started."""

    id: str
    body: Json
    states: list[str]
    error: str = ""
    is_cancelled: bool = False

    def look(self) -> str:
        """Return the state; the next look sees the next one."""
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@dataclass
class TuningServices:
    """What the services keep.

    Attributes:
        address: Where they are.
        faults: By action: a status, "lost" (before anything is done) or "reply lost".
        files: The content of each uploaded file by its id or place.
        trainings: In the order of their start.
        deployed: The models that were deployed.
        states: The states that the next training goes through; empty for the usual ones.
        error: What the next training says of its failure.
        data_sets: How many lines a data set is said to have, by its name.
        has_started: Set by the first training.
    """

    address: str = ""
    faults: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list[int | str]))
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    trainings: list[Training] = field(default_factory=list[Training])
    deployed: list[str] = field(default_factory=list[str])
    states: list[str] = field(default_factory=list[str])
    error: str = ""
    data_sets: dict[str, int] = field(default_factory=dict[str, int])
    has_started: anyio.Event = field(default_factory=anyio.Event)

    def start(self, body: Json, states: tuple[str, ...], training_id: str = "") -> Training:
        """Start a training."""
        identity = training_id or f"ft-{len(self.trainings) + 1}"
        training = Training(identity, body, self.states or list(states), self.error)
        self.trainings.append(training)
        self.has_started.set()
        return training

    def training(self, training_id: str) -> Training:
        """Return a training by its id."""
        for training in self.trainings:
            if training.id == training_id:
                return training
        raise web.HTTPNotFound(text=json.dumps({"error": {"message": "no such training"}}))


def _openai(services: TuningServices) -> list[tuple[str, str, str, Handler]]:
    async def upload(request: web.Request) -> Json:
        form = await request.post()
        assert form["purpose"] == "fine-tune"
        file = form["file"]
        assert isinstance(file, web.FileField)
        file_id = f"file-{len(services.files) + 1}"
        services.files[file_id] = file.file.read()
        return {"id": file_id, "object": "file", "purpose": "fine-tune"}

    async def start(request: web.Request) -> Json:
        body = await request.json()
        assert body["training_file"] in services.files
        return {"id": services.start(body, OPENAI_STATES).id, "status": "validating_files"}

    async def listing(request: web.Request) -> Json:
        wanted = request.query["metadata[kiln_finetune]"]
        rows: list[Json] = [
            {"id": item.id, "metadata": item.body["metadata"]} for item in services.trainings
        ]
        return {"data": [row for row in rows if row["metadata"]["kiln_finetune"] == wanted]}

    async def status(request: web.Request) -> Json:
        training = services.training(request.match_info["id"])
        state = training.look()
        name = f"ft:{training.body['model']}::{training.id.removeprefix('ft-')}"
        model = name if state == "succeeded" else None
        error = {"message": training.error} if training.error and state == "failed" else None
        return {"status": state, "fine_tuned_model": model, "error": error}

    async def cancel(request: web.Request) -> Json:
        training = services.training(request.match_info["id"])
        if training.states == ["succeeded"]:
            raise web.HTTPBadRequest(text='{"error": {"message": "it has succeeded"}}')
        training.is_cancelled = True
        return {"status": "cancelled"}

    async def answer(request: web.Request) -> Json:
        body = await request.json()
        word = str(body["messages"][-1]["content"]).split()[0].removeprefix("word")
        epochs = _epochs_of(services, str(body["model"]))
        is_right = word.isdecimal() and int(word) % 10 < 3 * epochs
        wrong = "answer 999" if body["model"] == "sure-teacher" else "no"
        message = {"role": "assistant", "content": f"answer {word}" if is_right else wrong}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }

    return [
        ("POST", "/chat/completions", "answer", answer),
        ("POST", "/files", "upload", upload),
        ("POST", "/fine_tuning/jobs", "start", start),
        ("GET", "/fine_tuning/jobs", "find", listing),
        ("GET", "/fine_tuning/jobs/{id}", "status", status),
        ("POST", "/fine_tuning/jobs/{id}/cancel", "cancel", cancel),
    ]


def _epochs_of(services: TuningServices, model: str) -> int:
    """Return how often a model has read its data; it is the better for it. 0 for a base."""
    if model in {"teacher", "sure-teacher"}:
        return 3
    if not model.startswith("ft:"):
        return 0
    training = services.training(f"ft-{model.rpartition(':')[2]}")
    return int(training.body["method"]["supervised"]["hyperparameters"]["n_epochs"])


def _together(services: TuningServices) -> list[tuple[str, str, str, Handler]]:
    async def upload(request: web.Request) -> Json:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        file_id = f"file-{len(services.files) + 1}"
        services.files[file_id] = file.file.read()
        return {"id": file_id}

    async def start(request: web.Request) -> Json:
        return {"id": services.start(await request.json(), TOGETHER_STATES).id}

    def row(training: Training) -> Json:
        return {
            "id": training.id,
            "output_name": f"me/{training.body['model'].split('/')[-1]}-{training.body['suffix']}",
        }

    async def listing(request: web.Request) -> Json:
        return {"data": [row(training) for training in services.trainings]}

    async def status(request: web.Request) -> Json:
        training = services.training(request.match_info["id"])
        state = training.look()
        events = [{"message": training.error}] if training.error and state == "error" else []
        return {**row(training), "status": state, "events": events}

    async def cancel(request: web.Request) -> Json:
        services.training(request.match_info["id"]).is_cancelled = True
        return {}

    return [
        ("POST", "/files/upload", "upload", upload),
        ("POST", "/fine-tunes", "start", start),
        ("GET", "/fine-tunes", "find", listing),
        ("GET", "/fine-tunes/{id}", "status", status),
        ("POST", "/fine-tunes/{id}/cancel", "cancel", cancel),
    ]


def _fireworks_data(services: TuningServices) -> list[tuple[str, str, str, Handler]]:
    root = "/accounts/{account}"

    async def data_set(request: web.Request) -> Json:
        body = await request.json()
        if body["datasetId"] in services.data_sets:
            raise web.HTTPConflict(text='{"message": "it exists"}')
        services.data_sets[body["datasetId"]] = int(body["dataset"]["exampleCount"])
        return {"name": body["datasetId"]}

    async def upload(request: web.Request) -> Json:
        file = (await request.post())["file"]
        assert isinstance(file, web.FileField)
        services.files[request.match_info["id"]] = file.file.read()
        return {}

    async def ready(request: web.Request) -> Json:
        is_there = request.match_info["id"] in services.files
        return {"state": "READY" if is_there else "UPLOADING"}

    return [
        ("POST", f"{root}/datasets", "data set", data_set),
        ("POST", f"{root}/datasets/{{id}}:upload", "upload", upload),
        ("GET", f"{root}/datasets/{{id}}", "ready", ready),
    ]


def _fireworks(services: TuningServices) -> list[tuple[str, str, str, Handler]]:
    root = "/accounts/{account}"

    async def start(request: web.Request) -> Json:
        training_id = request.query["supervisedFineTuningJobId"]
        if any(training.id == training_id for training in services.trainings):
            raise web.HTTPConflict(text='{"message": "it exists"}')
        services.start(await request.json(), FIREWORKS_STATES, training_id)
        return {"name": f"accounts/me/supervisedFineTuningJobs/{training_id}"}

    async def status(request: web.Request) -> Json:
        training = services.training(request.match_info["id"])
        state = training.look()
        return {
            "state": state,
            "status": {"message": training.error},
            "outputModel": training.body["outputModel"],
        }

    async def cancel(request: web.Request) -> Json:
        services.training(request.match_info["id"]).is_cancelled = True
        return {}

    async def deploy(request: web.Request) -> Json:
        model = (await request.json())["model"]
        if model in services.deployed:
            raise web.HTTPConflict(text='{"message": "it is deployed"}')
        services.deployed.append(model)
        return {"name": model}

    return [
        *_fireworks_data(services),
        ("POST", f"{root}/supervisedFineTuningJobs", "start", start),
        ("GET", f"{root}/supervisedFineTuningJobs/{{id}}", "status", status),
        ("DELETE", f"{root}/supervisedFineTuningJobs/{{id}}", "cancel", cancel),
        ("POST", f"{root}/deployedModels", "deploy", deploy),
    ]


def _vertex(services: TuningServices) -> list[tuple[str, str, str, Handler]]:
    root = "/projects/{project}/locations/{location}"

    async def upload(request: web.Request) -> Json:
        place = f"gs://{request.match_info['bucket']}/{request.query['name']}"
        services.files[place] = await request.read()
        return {"name": request.query["name"]}

    async def start(request: web.Request) -> Json:
        body = await request.json()
        assert body["supervisedTuningSpec"]["trainingDatasetUri"] in services.files
        name = f"projects/p/locations/l/tuningJobs/{len(services.trainings) + 1}"
        return {"name": services.start(body, VERTEX_STATES, name).id}

    async def listing(request: web.Request) -> Json:
        rows = [
            {"name": item.id, "tunedModelDisplayName": item.body["tunedModelDisplayName"]}
            for item in services.trainings
        ]
        return {"tuningJobs": rows}

    async def status(request: web.Request) -> Json:
        training = services.training(request.path.lstrip("/"))
        state = training.look()
        model = {"endpoint": "projects/p/locations/l/endpoints/77"}
        error = {"message": training.error} if training.error else {}
        return {"state": state, "error": error} | (
            {"tunedModel": model} if state == "JOB_STATE_SUCCEEDED" else {}
        )

    async def cancel(request: web.Request) -> Json:
        services.training(request.path.lstrip("/").removesuffix(":cancel")).is_cancelled = True
        return {}

    return [
        ("POST", "/upload/storage/v1/b/{bucket}/o", "upload", upload),
        ("POST", f"{root}/tuningJobs", "start", start),
        ("GET", f"{root}/tuningJobs", "find", listing),
        ("GET", f"{root}/tuningJobs/{{id}}", "status", status),
        ("POST", f"{root}/tuningJobs/{{id}}:cancel", "cancel", cancel),
    ]


PROVIDERS: Mapping[str, Callable[[TuningServices], list[tuple[str, str, str, Handler]]]] = {
    "openai": _openai,
    "together_ai": _together,
    "fireworks_ai": _fireworks,
    "vertex": _vertex,
}


@asynccontextmanager
async def serve(provider: str) -> AsyncGenerator[TuningServices]:
    """Serve one provider's interface."""
    services = TuningServices()

    def with_faults(action: str, handler: Handler) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                text = json.dumps({"error": {"message": f"bad key {KEY}"}})
                return web.Response(status=401, text=text)
            fault = services.faults[action].pop(0) if services.faults[action] else None
            if isinstance(fault, int):
                return web.Response(status=fault, text=f'{{"message": "status {fault} of {KEY}"}}')
            if fault == "garbage":
                return web.Response(text="<html>busy</html>")
            reply = None if fault == "lost" else await handler(request)
            if fault is not None:
                assert request.transport is not None
                request.transport.abort()
            return web.json_response(reply)

        return handle

    app = web.Application(client_max_size=1 << 26)
    for method, path, action, handler in PROVIDERS[provider](services):
        app.router.add_route(method, path, with_faults(action, handler))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield services
    finally:
        await runner.cleanup()


def environment_of(provider: str, address: str) -> dict[str, str]:
    """Return the variables with which a provider is found on the loopback."""
    return {
        "openai": {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": address},
        "together_ai": {"TOGETHERAI_API_KEY": KEY, "TOGETHER_AI_API_BASE": address},
        "fireworks_ai": {
            "FIREWORKS_API_KEY": KEY,
            "FIREWORKS_API_BASE": address,
            "FIREWORKS_ACCOUNT_ID": "me",
        },
        "vertex": {
            "CLOUDSDK_AUTH_ACCESS_TOKEN": KEY,
            "VERTEXAI_API_BASE": address,
            "VERTEXAI_PROJECT": "p",
            "VERTEXAI_LOCATION": "l",
            "STORAGE_EMULATOR_HOST": address,
        },
    }[provider]
