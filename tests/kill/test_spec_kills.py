"""A session that builds specs, killed in and between its steps, goes on by another door."""

import json
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from pydantic import JsonValue

from bridge_client import BRIDGE
from kill_bench import REPEATED, Bench, open_kill_bench
from spec_bench import ANSWERS, open_spec_bench

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

PYTHON: Final = """
import json, os, sys
import anyio
from kiln_mcp.catalogue import installed_catalogue, open_own_workspace
from kiln_mcp.settings import Settings

async def main():
    settings = Settings.from_environment(os.environ)
    async with open_own_workspace(settings) as workspace:
        capability = installed_catalogue().find(sys.argv[2])
        report = await capability.invoke(workspace, json.loads(sys.argv[1]))
        print(report.model_dump_json())

anyio.run(main)
"""
VERDICTS: Final[list[JsonValue]] = [
    {"output": 1, "clause": clause, "verdict": "pass", "reason": "so"}
    for clause in ("d1.c1", "d2.c1", "d2.c2")
]
MODEL: Final[Mapping[str, object]] = {
    **dict[str, object](ANSWERS),
    "rewordings": {"rewordings": list[JsonValue]()},
    "verdicts": {"verdicts": VERDICTS},
}
OWN_WORDS: Final = "It may joke, but only once and never about money"
STEPS: Final[Sequence[Mapping[str, Any]]] = (
    {"wish": "Replies are rude, and it promises refunds"},
    {"model": "loop/tiny"},
    {"answers": [{"question": "q1", "answer": "Yes"}]},
    {"answers": [{"question": "q2", "answer": OWN_WORDS}]},
    {"edits": [{"target": "d2.c1", "text": "The reply promises money back.", "reason": "wider"}]},
    {"edits": [{"target": "x1", "text": "", "reason": "undone"}]},
    {"answers": "assume"},
    {"save": True},
)
MODEL_STEPS: Final = (0, 1, 3)
"""The steps that ask the model."""
DOORS: Final = ("client", "command", "python")
PARTS: Final = ("name", "kind", "clauses", "examples", "assumptions", "is_saved")
Door = str


@dataclass(slots=True)
class Doors:
    """Calls a capability through each door in its turn.

    Attributes:
        bench: The daemon.
        tool: The capability.
        key: A key that each of its answers has.
    """

    bench: Bench
    tool: str = "build_spec"
    key: str = "specs"

    async def call(self, door: Door, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Call through a door; None if it was killed before it answered."""
        if door == "client":
            wait = {} if self.tool == "label_items" else {"wait_s": 60}
            own = {**wait, "project": str(self.bench.project), **arguments}
            report = await self.bench.call(self.tool, **own)
            return report if report is None or self.key in report else None
        process = await self._begin(door, arguments)
        async with process:
            return await _report_of(process, self.key)

    async def killed(self, door: Door, arguments: Mapping[str, Any], *, asks: bool) -> bool:
        """Begin a call, kill the daemon and the caller amid it; tell whether it was answered."""
        before = (await self.bench.question_counts()).total()
        answers: list[object] = []

        async def begin() -> None:
            if door == "client":
                answers.append(await self.call(door, arguments))
                return
            async with await self._begin(door, arguments) as process:
                try:
                    answers.append(await _report_of(process, self.key))
                finally:
                    with suppress(ProcessLookupError):
                        process.send_signal(signal.SIGKILL)

        async with anyio.create_task_group() as group:
            group.start_soon(begin)
            if asks:
                with anyio.move_on_after(30):
                    await self.bench.question_counts(before + self.bench.chance.randrange(1, 4))
            await anyio.sleep(self.bench.chance.uniform(0, 0.05 if asks else 3))
            self.bench.kill()
            group.cancel_scope.cancel()
        return any(answer is not None for answer in answers)

    async def insist(
        self, doors: Sequence[Door], arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Call through one door after the other until one answers."""
        for door, _ in zip(cycle(doors), range(REPEATED), strict=False):
            report = await self.call(door, arguments)
            if report is not None:
                return report
        raise AssertionError(f"no door answered {arguments}")

    async def _begin(self, door: Door, arguments: Mapping[str, Any]) -> anyio.abc.Process:
        own = {"project": str(self.bench.project), **arguments}
        command = [sys.executable, "-c", PYTHON, json.dumps(own), self.tool]
        if door == "command":
            options = [part for name, value in own.items() for part in _option(name, value)]
            command = [sys.executable, "-c", BRIDGE, self.tool.replace("_", "-"), "--json"]
            command += [*(["--wait-s", "60"] if self.tool == "build_spec" else []), *options]
        return await anyio.open_process(command, env=self.bench.environment)


def _option(name: str, value: object) -> list[str]:
    if value is True:
        return [f"--{name}"]
    return [f"--{name}", value if isinstance(value, str) else json.dumps(value)]


async def _report_of(process: anyio.abc.Process, key: str) -> Mapping[str, Any] | None:
    assert process.stdout is not None
    parts = [part async for part in process.stdout]
    await process.wait()
    try:
        report = json.loads(b"".join(parts))
    except ValueError:
        return None
    return report if key in report else None


def state(report: Mapping[str, Any]) -> list[object]:
    """Return what must be the same however often a session was killed."""
    return [{part: spec.get(part) for part in PARTS} for spec in report["specs"]]


async def undisturbed(folder: Path) -> list[list[object]]:
    """Return the states of the same session without a kill."""
    await make_project(folder)
    async with open_kill_bench(folder, MODEL) as bench:
        doors = Doors(bench)
        return [state(await doors.insist(["client"], step)) for step in STEPS]


async def make_project(folder: Path) -> None:
    """Make the project of a shoe shop, with six outputs."""
    await anyio.Path(folder).mkdir()
    async with open_spec_bench(folder) as bench:
        made = bench.folder
    made.rename(folder / "project")


async def test_a_session_killed_in_and_between_its_steps_goes_on_by_every_door(
    tmp_path: Path,
) -> None:
    expected = await undisturbed(tmp_path / "calm")
    await make_project(tmp_path / "killed")
    async with open_kill_bench(tmp_path / "killed", MODEL) as bench:
        doors, turns = Doors(bench), cycle(DOORS)
        sessions: set[str] = set()
        for number, step in enumerate(STEPS):
            door, second, third = next(turns), next(turns), next(turns)
            next(turns)  # so that each step begins at another door
            await doors.killed(door, step, asks=number in MODEL_STEPS)
            report = await doors.insist([second, third, door], step)
            sessions.add(report["session"])
            assert state(report) == expected[number]
            asked = await bench.question_counts()
            bench.kill()  # between two steps: the answer may have been lost on its way
            again = await doors.insist([third, door, second], step)
            sessions.add(again["session"])
            assert state(again) == expected[number]
            assert await bench.question_counts() == asked  # no call is paid twice
        assert len(sessions) == 1
        await bench.check(len(STEPS))


@asynccontextmanager
async def reviewed(folder: Path) -> AsyncGenerator["Review"]:
    """Save specs of a wish, and draw outputs to label, with kills amid the draw."""
    await make_project(folder)
    async with open_kill_bench(folder, MODEL) as bench:
        doors = Doors(bench)
        await doors.insist(["client"], {"wish": "Replies are rude", "answers": "assume"})
        saved = await doors.insist(["client"], {"save": True})
        evals = [spec["eval"] for spec in saved["specs"]]
        draw = {"eval": evals, "purpose": "review", "outputs": "all", "count": 4, "rater": "ann"}
        draws = Doors(bench, "draw_items_to_label", "items")
        await draws.killed("command", draw, asks=False)
        batch = await draws.insist(["python", "client"], draw)
        yield Review(bench, doors, Doors(bench, "label_items", "saved"), batch, evals)


@dataclass(frozen=True, slots=True)
class Review:
    """Outputs that wait for a person's labels.

    Attributes:
        bench: The daemon.
        doors: The doors to the session.
        labels: The doors that take labels.
        batch: The outputs.
        evals: The evals of the specs.
    """

    bench: Bench
    doors: Doors
    labels: Doors
    batch: Mapping[str, Any]
    evals: Sequence[str]

    def labelling(self, item: Mapping[str, Any], label: str) -> dict[str, Any]:
        """Return the arguments that label an output for each spec."""
        scores = self.batch["scores"]
        own = {"item": item["item"], "label": label, "reason": f"It is a {label} to me."}
        entries = [{**own, "score": name} for name in scores]
        return {"eval": self.evals, "rater": "ann", "labels": entries}

    async def step(
        self, tool: Doors, arguments: Mapping[str, Any], door: Door
    ) -> Mapping[str, Any]:
        """Kill a call at one door, and insist on it at the others."""
        await tool.killed(door, arguments, asks=False)
        return await tool.insist([other for other in DOORS if other != door], arguments)


async def test_a_review_killed_amid_its_labels_keeps_them_and_learns_from_them_once(
    tmp_path: Path,
) -> None:
    async with reviewed(tmp_path / "killed") as review:
        turns, labelled = cycle(DOORS), {0}
        for item in review.batch["items"]:
            call = review.labelling(item, "fail")
            report = await review.step(review.labels, call, next(turns))
            assert report["saved"] == len(call["labels"])
            labelled.add(report["labelled_items"])
        assert max(labelled) == len(review.batch["items"])
        asked = await review.bench.question_counts()
        learned: list[Mapping[str, Any]] = []
        await review.doors.killed("python", {}, asks=False)
        for door in ("command", "client", "python"):
            learned.append(await review.doors.insist([door], {}))
            review.bench.kill()
        assert state(learned[0]) == state(learned[-1])
        examples = [example for spec in learned[0]["specs"] for example in spec["examples"]]
        assert "It is a fail to me." in {example["why"] for example in examples}
        assert await review.bench.question_counts() == asked


async def test_what_is_taken_back_after_labels_stays_so_however_often_it_is_killed(
    tmp_path: Path,
) -> None:
    async with reviewed(tmp_path / "killed") as review:
        for item in review.batch["items"]:
            labels = review.labelling(item, "fail")
            await review.labels.insist(["client"], labels)
        learned = await review.doors.insist(["python"], {})  # it shows each example
        taught = next(edit for edit in learned["edits"] if "a fail to me" in edit["reason"])
        asked = await review.bench.question_counts()
        text = {"target": "d1.c1", "text": "The reply must hold no insult and no irony."}
        edited = await review.step(review.doors, {"edits": [text]}, "client")
        assert text["text"] in json.dumps(edited["specs"])
        edit = next(entry for entry in edited["edits"] if entry["new"] == text["text"])
        undo = {"edits": [{"target": edit["id"], "text": ""}]}
        await review.step(review.doors, undo, "command")
        assert state(await review.doors.insist(["python"], {})) == state(learned)
        forget = {"edits": [{"target": taught["id"], "text": ""}]}
        forgot = await review.step(review.doors, forget, "python")
        assert taught["new"] not in json.dumps(forgot["specs"])
        corrected = review.labelling(review.batch["items"][0], "pass")
        report = await review.step(review.labels, corrected, "command")
        assert report["labelled_items"] == len(review.batch["items"])
        await review.step(review.doors, {}, "client")
        last = await review.doors.insist(["python"], {})
        assert taught["new"] not in json.dumps(last["specs"])
        assert state(last) == state(await review.doors.insist(["python"], {}))
        assert await review.bench.question_counts() == asked
