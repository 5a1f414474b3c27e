"""What a search for a better prompt works with, gathered from the project."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import tag_of
from kiln_mcp.datasets.topics import topic_of
from kiln_mcp.evals.items import Item, items_of
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.evals.work import Measurement
from kiln_mcp.evolution.blocks import Block, Candidate
from kiln_mcp.evolution.errors import PartMissing, PartsOverlap
from kiln_mcp.evolution.operators import Pool
from kiln_mcp.evolution.trace import FILE, FileTrace
from kiln_mcp.evolution.trials import Demonstrations, Trials, demonstrations_of
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.run_configs.cost_estimates import plan_of
from kiln_mcp.run_configs.prompts import prompt_text
from kiln_mcp.run_configs.task_runs import Setup, resolve
from kiln_mcp.workbench.prompts import load_prompt
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRunConfig


@dataclass(frozen=True, slots=True)
class Parts:
    """The items of each part of an eval's data."""

    train: Sequence[Item]
    val: Sequence[Item]
    test: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for.

    Attributes:
        start: The run config to improve.
        budget: Model calls of the search.
        seed: Repeats it.
        reflect_with: A model that edits; None for the default one.
    """

    start: str
    budget: int
    seed: int
    reflect_with: str | None


@dataclass(frozen=True, slots=True)
class Quest:
    """A search for a better prompt: what was asked for, and what it works with."""

    workspace: Workspace
    about: Measurement
    parts: Parts
    first: TaskRunConfig
    setup: Setup
    shown: Demonstrations
    start: Candidate
    trace: FileTrace
    wanted: Wanted
    reflecting: str | None

    @property
    def trials(self) -> Trials:
        """What runs candidates."""
        return Trials(self.workspace.engine, self.about, self.first, self.setup, self.shown)


async def prepare(workspace: Workspace, about: Measurement, wanted: Wanted) -> Quest:
    """Gather what a search works with.

    Raises:
        PartMissing: There are no train, val or test items.
        PartsOverlap: Two of them share inputs.
    """
    first = (await find_run_configs(about.store, about.task, [wanted.start]))[0]
    parts = _parts_of(about)
    text = prompt_text(about.task, first, about.prompts, about.shown)
    shown, begin = demonstrations_of(parts.train, text.prompt)
    number = workspace.id_for("trace")
    file = FILE.format(run=f"{tag_of(first.name)}_{number}")
    reflecting = workspace.model_name(wanted.reflect_with)
    return Quest(
        workspace=workspace,
        about=about,
        parts=parts,
        first=first,
        setup=resolve(about.task, first, about.prompts, about.shown),
        shown=shown,
        start=begin,
        trace=FileTrace(about.store, about.measured, file, shown.prompt),
        wanted=wanted,
        reflecting=None if reflecting == EMBEDDED else reflecting,
    )


def calls_by_model(quest: Quest) -> dict[str, int]:
    """Return how often a search will ask which models, its final measurement included."""
    judge = quest.about.evaluator.model
    each = {quest.setup.model: 2 if quest.setup.thinking else 1}
    if judge:
        each[judge] = each.get(judge, 0) + quest.about.evaluator.calls_per_item
    final = 2 * len(quest.parts.test)
    searched = -(-quest.wanted.budget // sum(each.values()))
    calls = {model: times * (searched + final) for model, times in each.items()}
    if quest.reflecting:
        calls[quest.reflecting] = calls.get(quest.reflecting, 0) + searched // 8
    return calls


async def plan_quest(quest: Quest) -> Plan:
    """Return what a search will do and cost."""
    summary = (
        f"Search for a better prompt than {quest.first.name!r} with {quest.wanted.budget} calls, "
        f"then measure both on {len(quest.parts.test)} held-out items."
    )
    return await plan_of(quest.workspace.engine, summary, calls_by_model(quest), "evolution")


def pool_of(quest: Quest) -> Pool:
    """Return what candidates are made of: training items, and instructions like the start's."""
    runs = {run.id: run for run in quest.about.runs}
    topics: dict[str, str] = {}
    for item in quest.shown.by_id:
        run = runs.get(item)
        topics[item] = (topic_of(run) if run else None) or item
    additions = load_prompt("evolution", "additions").text.splitlines()
    start = quest.start.instruction
    more = [(*start, Block(f"added{n}", line)) for n, line in enumerate(additions, 1) if line]
    return Pool(topics, (start, *more))


def _parts_of(about: Measurement) -> Parts:
    found: dict[str, list[Item]] = {}
    for name in ("train", "val", "test"):
        split = about.measured.split(name)
        items = items_of(split, about.runs, about.inputs) if split else []
        # Ids are random: only this order makes a seed repeat a search in another project.
        found[name] = sorted(items, key=lambda item: item.task_input)
        if not found[name]:
            raise PartMissing(name, split.filter_id if split else None)
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = {i.task_input for i in found[first]} & {i.task_input for i in found[second]}
        if shared:
            raise PartsOverlap(first, second, len(shared))
    return Parts(found["train"], found["val"], found["test"])
