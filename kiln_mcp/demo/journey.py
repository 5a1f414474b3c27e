"""The demo's way, step by step, each through the catalogue like any client's call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel, JsonValue

from kiln_mcp.advice.answers import ProjectDescription
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.demo.bookings import INSTRUCTION, SCHEMA, WISH, make_bookings
from kiln_mcp.demo.example import EVAL, unpack_example
from kiln_mcp.evals.answers import EvalRunReport, EvaluatorCreated
from kiln_mcp.evals.results.answers import Comparison
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.judging.answers import AgreementReport
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.projects.service import ProjectCreated
from kiln_mcp.run_configs.answers import RunConfigCreated
from kiln_mcp.specs.answers import SpecSessionReport
from kiln_mcp.synthesis.answers import AddedData, DataSplit
from kiln_mcp.workbench.progress import ProgressReport
from kiln_mcp.workbench.workspace import Workspace

MAX_CALLS: Final = 120
"""Model calls of the search; with 72 held-out items twice, 270 in all at most."""

SHARES: Final[Mapping[str, JsonValue]] = {"train": 25, "val": 25, "test": 50, "golden": 0}
ITEMS: Final = "bookings.jsonl"
OWN_EVAL: Final = "Booking is right"
START: Final = "start"

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Teller(Protocol):
    """Tells the person what happens."""

    def begin(self, title: str) -> None:
        """A step begins."""
        ...

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """The step has come so far."""
        ...

    def say(self, sentence: str) -> None:
        """Show a result of the step."""
        ...

    def judges(self, report: AgreementReport) -> None:
        """The example's judges were measured."""
        ...


@dataclass(frozen=True, slots=True)
class Journey:
    """What came of the demo's own project.

    Attributes:
        items: Items in all.
        split: How they were dealt.
        first_run: The start's score table on held-out items.
        search: What the search came to.
        comparison: Start and winner on held-out items; None if there is no winner.
    """

    items: int
    split: DataSplit
    first_run: EvalRunReport
    search: EvolutionReport
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class Client:
    """Calls capabilities by name, as a client does."""

    catalogue: Catalogue
    workspace: Workspace

    async def call(
        self, shape: type[AnswerT], capability: str, /, **arguments: JsonValue
    ) -> AnswerT:
        """Return a capability's answer.

        Raises:
            TypeError: The capability answers something else.
        """
        answer = await self.catalogue.find(capability).invoke(self.workspace, arguments)
        if not isinstance(answer, shape):
            raise TypeError(f"{capability} answered {type(answer).__name__}, not {shape.__name__}")
        return answer


async def show_example(client: Client, folder: Path, teller: Teller) -> AgreementReport:
    """Import the real project and say what its judges are worth."""
    teller.begin("A real project: what is there, and what is wrong with it")
    await anyio.to_thread.run_sync(unpack_example, folder)
    description = await client.call(ProjectDescription, "describe_project", project=str(folder))
    for task in description.tasks:
        evaluators = sum(summary.evaluators for summary in task.evals)
        rating_count = sum(summary.rated_items for summary in task.evals)
        results = sum(summary.results for summary in task.evals)
        teller.say(
            f"{description.project} has {task.runs} runs, {task.run_configs} run configs, "
            f"{evaluators} evaluators with {results} results, and {rating_count} outputs that a "
            "person rated."
        )
    report = await client.call(AgreementReport, "check_judge", project=str(folder), eval=EVAL)
    teller.judges(report)
    return report


async def travel(client: Client, folder: Path, teller: Teller, seed: int) -> Journey:
    """Go from a one-line wish to a measured prompt, in a new project."""
    project = str(folder)
    spec = await _set_up(client, project, teller)
    items, split = await _data(client, project, teller, seed)
    await _evaluator(client, project, split, spec)
    first = await _first_run(client, project, teller, seed)
    teller.begin("Search for a better prompt")
    search = await client.call(
        EvolutionReport,
        "improve_prompt",
        project=project,
        eval=OWN_EVAL,
        start=START,
        max_calls=MAX_CALLS,
        seed=seed,
    )
    teller.say(
        f"{search.races} candidates raced on {search.validation_items} validation items with "
        f"{search.search_calls} calls; {len(search.race_wins)} beat the best before it."
    )
    comparison = None
    if search.winner:
        comparison = await client.call(
            Comparison,
            "show_results",
            project=project,
            eval=OWN_EVAL,
            compare=[START, search.winner],
        )
    return Journey(items.items or 0, split, first, search, comparison)


async def _set_up(client: Client, project: str, teller: Teller) -> str:
    """Make the project and return the name of its spec."""
    teller.begin("From a wish to a spec")
    teller.say(f"Wish: {WISH}")
    await client.call(
        ProjectCreated,
        "create_project",
        name="Table bookings",
        folder=project,
        task="Read bookings",
        instruction=INSTRUCTION,
        output_schema=dict(SCHEMA),
    )
    report = await client.call(
        SpecSessionReport, "build_spec", project=project, wish=WISH, save=True
    )
    draft = report.specs[0]
    teller.say(
        f"Spec '{draft.name}' ({draft.kind.value.replace('_', ' ')}), drafted by "
        f"{report.author}; {report.open_questions} open questions."
    )
    if report.question is not None:
        teller.say(f"It would ask: {report.question.question}")
    return draft.name


async def _data(
    client: Client, project: str, teller: Teller, seed: int
) -> tuple[AddedData, DataSplit]:
    teller.begin("A dataset, dealt by form of words")
    # From a file, as a person would bring them: so each record says where it came from.
    file = anyio.Path(project, ITEMS)
    lines = [json.dumps(booking.item, ensure_ascii=False) for booking in make_bookings(seed)]
    await file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    items = await client.call(AddedData, "add_data", project=project, file=str(file))
    split = await client.call(
        DataSplit,
        "split_data",
        project=project,
        name="bookings",
        **SHARES,
        seed=seed,
    )
    parts = ", ".join(f"{part.items} {part.part}" for part in split.parts)
    teller.say(f"{items.items} messages in {split.groups} forms: {parts}. No form is in two parts.")
    return items, split


async def _evaluator(client: Client, project: str, split: DataSplit, spec: str) -> None:
    filters = {f"{part.part}_filter": part.filter for part in split.parts}
    await client.call(
        EvaluatorCreated,
        "create_evaluator",
        project=project,
        eval=OWN_EVAL,
        name="exact match",
        type="exact_match",
        reference_key="reference_answer",
        spec=spec,
        scores=[{"name": OWN_EVAL}],
        **filters,
    )


async def _first_run(client: Client, project: str, teller: Teller, seed: int) -> EvalRunReport:
    teller.begin("Measure the starting prompt on held-out messages")
    await client.call(
        RunConfigCreated,
        "create_run_config",
        project=project,
        name=START,
        model=EMBEDDED,
    )
    first = await client.call(
        EvalRunReport,
        "run_eval",
        project=project,
        eval=OWN_EVAL,
        run_configs=[START],
        seed=seed,
    )
    for row in first.table:
        teller.say(f"{row.mean:.0%} of {row.n} are exactly right ({_span(row.low, row.high)}).")
    return first


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "no interval"
    return f"95 % interval {low:.0%} to {high:.0%}"


def client_of(catalogue: Catalogue, workspace: Workspace, progress: ProgressReport) -> Client:
    """Return a client whose calls report their progress."""
    return Client(catalogue, workspace.with_progress(progress))
