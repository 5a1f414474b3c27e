"""The provider on this machine, with fake processes: no torch is needed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kiln_mcp.llm import Engine, EngineSettings, ModelError
from kiln_mcp.llm.providers.tuned_files import read_tuned_models
from kiln_mcp.tuning.local.child_process import ChildProcesses
from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.provider import TUNED_FOLDER, LocalTuning, open_provider
from kiln_mcp.tuning.local.work_folder import LocalRequest, LocalState, LossPoint, WorkFolder
from kiln_mcp.tuning.providers.provider import (
    Draft,
    TrainingRequest,
    TrainingState,
    Value,
    check_parameters,
)
from storage.errors import InvalidValue, Refusal

OUTLOOK = Outlook(device="the processor", tokens=70, excerpts=("a ⟦b⟧",), free_bytes=10**9)


@dataclass
class FakeProcesses:
    """Processes that do what a test says."""

    outlook: Outlook = OUTLOOK
    does: Callable[[WorkFolder], None] = lambda folder: None
    is_alive: bool = False
    starts: int = 0
    looks: list[LocalRequest] = field(default_factory=list[LocalRequest])

    def check(self) -> None:
        """All is installed."""

    async def examine(self, folder: WorkFolder) -> Outlook:
        self.looks.append(folder.request())
        return self.outlook

    def start(self, folder: WorkFolder) -> None:
        self.starts += 1
        self.does(folder)

    def is_started(self, folder: WorkFolder) -> bool:
        return self.is_alive


@dataclass
class Place:
    tuning: LocalTuning
    processes: FakeProcesses
    base: Path
    data: Path
    project: Path

    def values(self, **changes: Value) -> dict[str, Value]:
        return check_parameters(self.tuning.hyperparameters, changes)

    def request(self, **changes: Any) -> TrainingRequest:
        request = TrainingRequest(
            name="kiln-000000001234",
            base_model=str(self.base),
            project=self.project,
            train_file=self.data,
            train_examples=1,
            validation_file=None,
            validation_examples=0,
            parameters=self.values(),
            seed=3,
        )
        return replace(request, **changes)

    async def begin(self) -> str:
        request = self.request()
        return await self.tuning.start(request, await self.tuning.upload(request))

    def folder(self) -> WorkFolder:
        return WorkFolder(self.tuning.work / "kiln-000000001234")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    base, project = tmp_path / "base", tmp_path / "project"
    base.mkdir()
    project.mkdir()
    (base / "config.json").write_text("{}")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    data = tmp_path / "train.jsonl"
    data.write_text('{"conversations": []}\n')
    settings = EngineSettings(environment={}, tuned_models=tmp_path / "home" / "tuned_models.json")
    processes = FakeProcesses()
    tuning = LocalTuning(tmp_path / "home" / "trainings", settings, processes)
    return Place(tuning, processes, base, data, project)


def finish(folder: WorkFolder) -> None:
    folder.adapter.mkdir(exist_ok=True)
    for name in ("adapter_model.safetensors", "README.md", "losses.svg"):
        (folder.adapter / name).write_text(name)
    folder.write("state.json", LocalState(state="completed", step=4, steps=4, checkpoint=4))


async def test_a_training_is_started_once_watched_and_put_beside_the_project(place: Place) -> None:
    assert await place.tuning.find("kiln-000000001234") is None
    training_id = await place.begin()
    assert await place.tuning.find(training_id) == training_id
    request = place.folder().request()
    assert (request.licence, request.seed, request.gguf) == ("apache-2.0", 3, None)
    assert len(request.fingerprint) == 64
    place.processes.is_alive = True
    assert (await place.tuning.status(training_id)).state is TrainingState.PENDING
    place.folder().write("state.json", LocalState(state="running", step=2, steps=4))
    place.folder().write_losses([LossPoint(step=1, loss=2.0), LossPoint(step=2, loss=1.0)])
    status = await place.tuning.status(training_id)
    assert (status.state, status.step, status.steps) == (TrainingState.RUNNING, 2, 4)
    assert "<svg" in (place.folder().path / "losses.svg").read_text()
    finish(place.folder())
    status = await place.tuning.status(training_id)
    name = await place.tuning.deploy(status.model, "Tickets, November!")
    assert await place.tuning.deploy(status.model, "Tickets, November!") == name
    assert name == "tuned/tickets-november-1234"
    tuned = place.project / TUNED_FOLDER
    assert (tuned / ".gitignore").read_text() == "*\n"
    assert (tuned / "tickets-november-1234" / "README.md").exists()
    assert place.processes.starts == 1


async def test_a_process_that_was_killed_is_started_again_from_its_checkpoint(place: Place) -> None:
    training_id = await place.begin()
    place.folder().write("state.json", LocalState(state="running", step=7, steps=9, checkpoint=5))
    status = await place.tuning.status(training_id)
    assert status.state is TrainingState.RUNNING
    assert "goes on from step 5" in status.message
    assert place.processes.starts == 2


async def test_a_process_that_dies_again_and_again_at_one_place_is_given_up_with_its_last_words(
    place: Place,
) -> None:
    def die(folder: WorkFolder) -> None:
        folder.log.write_text("Killed\nout of memory\n")

    place.processes.does = die
    training_id = await place.begin()
    states = [(await place.tuning.status(training_id)) for _ in range(4)]
    assert [status.state for status in states[:2]] == [TrainingState.RUNNING] * 2
    assert states[-1].state is TrainingState.FAILED
    assert "ended 3 times at step 0, saying: out of memory" in states[2].message
    assert place.processes.starts == 3


async def test_a_failed_training_that_is_resumed_goes_on_from_its_checkpoint(place: Place) -> None:
    training_id = await place.begin()
    failed = LocalState(state="failed", step=7, steps=9, checkpoint=5, message="the disk is full")
    place.folder().write("state.json", failed)
    assert (await place.tuning.status(training_id)).state is TrainingState.FAILED
    await place.tuning.go_on(training_id)
    status = await place.tuning.status(training_id)
    assert (status.state, status.step) == (TrainingState.RUNNING, 5)
    assert place.folder().starts() == [5]
    finish(place.folder())
    await place.tuning.go_on(training_id)
    assert (await place.tuning.status(training_id)).state is TrainingState.COMPLETED


async def test_a_cancelled_training_is_not_taken_up_again(place: Place) -> None:
    training_id = await place.begin()
    place.folder().write("state.json", LocalState(state="failed"))
    place.folder().cancel()
    await place.tuning.go_on(training_id)
    assert place.folder().state().state == "failed"


async def test_progress_between_two_deaths_is_no_reason_to_give_up(place: Place) -> None:
    def advance(folder: WorkFolder) -> None:
        checkpoint = folder.state().checkpoint + 1
        folder.write("state.json", LocalState(state="running", steps=99, checkpoint=checkpoint))

    place.processes.does = advance
    training_id = await place.begin()
    for _ in range(6):
        assert (await place.tuning.status(training_id)).state is TrainingState.RUNNING


async def test_a_cancelled_training_is_told_to_end_and_one_that_has_ended_stays(
    place: Place,
) -> None:
    training_id = await place.begin()
    await place.tuning.cancel(training_id)
    assert place.folder().is_cancelled
    assert (await place.tuning.status(training_id)).state is TrainingState.CANCELLED
    other = place.request(name="kiln-9")
    training_id = await place.tuning.start(other, await place.tuning.upload(other))
    finish(WorkFolder(place.tuning.work / "kiln-9"))
    await place.tuning.cancel(training_id)
    assert (await place.tuning.status(training_id)).state is TrainingState.COMPLETED


async def test_a_look_says_what_is_known_and_leaves_nothing(place: Place) -> None:
    draft = Draft(str(place.base), place.data, place.values(), 0)
    forecast = await place.tuning.look(draft)
    assert (forecast.tokens, forecast.learnt) == (70, ("a ⟦b⟧",))
    assert "On the processor" in forecast.sentence
    assert [path.suffix for path in place.tuning.work.iterdir()] == [".json"]


async def test_a_check_does_not_wait_for_a_look(place: Place) -> None:
    await place.tuning.check(str(place.base))
    assert place.processes.looks == []


async def test_a_job_does_not_look_again_at_what_its_call_has_just_seen(place: Place) -> None:
    draft = Draft(str(place.base), place.data, place.values(), 0)
    first = await place.tuning.look(draft)
    assert await place.tuning.look(draft) == first
    assert len(place.processes.looks) == 1
    await place.tuning.look(replace(draft, seed=1))
    place.data.write_text('{"conversations": []}\n' * 2)
    await place.tuning.look(draft)
    assert len(place.processes.looks) == 3


async def test_what_cannot_be_trained_is_refused_with_the_reason(place: Place) -> None:
    place.processes.outlook = Outlook(refusal="it needs about 90.0 GB of memory")
    with pytest.raises(Refusal, match=r"cannot be trained here: it needs about 90\.0 GB"):
        await place.tuning.look(Draft(str(place.base), place.data, place.values(), 0))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no/such-model", "not in the cache"),
        ("../base", "it is no whole path"),
        ("/no/such/folder", "there is no such folder"),
        ("~nobody-of-this-name/base", "a user that does not exist"),
        ("model.gguf", "a GGUF file is trained as `embedded`"),
        ("", "config.json"),
    ],
)
async def test_a_base_that_is_not_there_is_refused_before_anything_starts(
    place: Place, name: str, sentence: str
) -> None:
    name = name or str(place.project)
    with pytest.raises(InvalidValue, match=sentence):
        await place.tuning.check(name)
    assert place.processes.looks == []


async def test_a_base_of_hugging_faces_cache_is_found_by_its_name(
    place: Place, tmp_path: Path
) -> None:
    model = tmp_path / "hub" / "models--me--mine"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("abc\n")
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "snapshots" / "abc" / "config.json").write_text("{}")
    settings = replace(place.tuning.settings, environment={"HF_HOME": str(tmp_path)})
    tuning = replace(place.tuning, settings=settings)
    await tuning.look(Draft("me/mine", place.data, place.values(), 0))
    [look] = place.processes.looks
    assert look.base == str(model / "snapshots" / "abc")


async def test_a_missing_extra_is_said_with_the_command_that_installs_it() -> None:
    processes = ChildProcesses({}, ("no_such_library_at_all",))
    with pytest.raises(Refusal, match=r"pip install 'kiln-mcp-server\[tune\]'"):
        processes.check()


def test_settings_without_a_home_train_nothing_here() -> None:
    with pytest.raises(Refusal, match="needs a home"):
        open_provider(EngineSettings(environment={}))


async def test_tuned_models_are_listed_and_checked_before_they_are_asked(place: Place) -> None:
    training_id = await place.begin()
    finish(place.folder())
    status = await place.tuning.status(training_id)
    name = await place.tuning.deploy(status.model, "Mine")
    async with Engine(place.tuning.settings) as engine:
        described = {model.name: model for model in await engine.models([])}
        assert described[name].ready
        [model] = read_tuned_models(place.tuning.settings.tuned_models).values()
        model.adapter_file.unlink()
        described = {model.name: model for model in await engine.models([])}
        assert not described[name].ready
        with pytest.raises(ModelError, match=r"cannot run: .* is not there"):
            await engine.check_ready({name: 1})
        with pytest.raises(ModelError, match="tuned/other"):
            await engine.check_ready({"tuned/other": 1})


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"name": 1}]', "{}"])
def test_a_damaged_list_of_tuned_models_is_empty(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tuned_models.json"
    file.write_text(text)
    assert read_tuned_models(file) == {}


def test_a_training_that_nobody_watches_is_noticed(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path)
    assert not folder.is_watched
    folder.watch()
    assert folder.is_watched
    assert not folder.is_held
    with folder.lock():
        assert anyio.run(anyio.to_thread.run_sync, lambda: folder.is_held)
