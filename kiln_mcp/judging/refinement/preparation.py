"""What a search for a better judge works with, gathered before anything is asked."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evals.measurement import Measurement, VerdictPlan, plan_agreement
from kiln_mcp.judging.disagreement_reports import (
    count_hidden_items,
    no_development_label,
    second_look,
)
from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.judging.judge_versions import version_of
from kiln_mcp.judging.refinement.claims import power_sentence
from kiln_mcp.judging.refinement.labelled_items import LabelledItem, read_labelled_items
from kiln_mcp.judging.refinement.proposals import (
    ExampleChooser,
    JudgeBrief,
    ModelRewriter,
    Proposer,
    StrictnessStep,
)
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Spec
from storage.errors import NextStep, Refusal
from storage.index.results import RecordRow

FEWEST_VERSIONS: Final = 3
"""Versions that the calls must be enough for; fewer labels are judged if they are not."""
FEWEST_ITEMS: Final = 4


@dataclass(frozen=True, slots=True)
class JudgeSearchRequest:
    """What a person asked for.

    Attributes:
        concerns: What bothers them about the judge; "" for nothing.
        model: The model that rewrites.
        has_examples: Whether labelled outputs may be shown to the judge.
        max_calls: Model calls of the search.
        seed: Repeats it.
    """

    concerns: str
    model: str
    has_examples: bool
    max_calls: int
    seed: int


@dataclass(frozen=True, slots=True)
class JudgeSearch:
    """A search for a better judge: what was asked for, and what it works with.

    Attributes:
        workspace: Asks models.
        golden_set: The eval's labels.
        judge: The judge to improve.
        items: The labelled outputs that versions judge.
        items_left_out: Labelled outputs that they do not judge, for lack of calls.
        work: Verdicts of the judge that are missing.
        request: What was asked for.
        spec: What the eval measures; "" if nothing is written.
    """

    workspace: Workspace
    golden_set: GoldenSet
    judge: Measurement
    items: Sequence[LabelledItem]
    items_left_out: int
    work: VerdictPlan
    request: JudgeSearchRequest
    spec: str

    @property
    def hidden_items(self) -> int:
        """Return the number of items whose labels are for the certificate."""
        return count_hidden_items(self.golden_set)

    @property
    def calls_by_model(self) -> Mapping[str, int]:
        """Return how often each model will be asked at most."""
        calls = Counter(self.work.calls_by_model)
        rewriter = self.request.model
        versions = max(1, self.request.max_calls // max(1, len(self.items)))
        rewrites = 0 if rewriter == EMBEDDED else versions
        if rewrites:
            calls[rewriter] += rewrites
        if self.judge.evaluator.model:
            calls[self.judge.evaluator.model] += max(0, self.request.max_calls - rewrites)
        return calls

    def proposers(self) -> list[Proposer]:
        """Return what proposes versions: the embedded model rewrites nothing useful."""
        proposers: list[Proposer] = []
        if self.request.model == EMBEDDED:
            proposers.append(StrictnessStep())
        else:
            engine = self.workspace.engine
            proposers.append(ModelRewriter(engine, self.request.model, self._brief()))
        if self.request.has_examples or self.request.model == EMBEDDED:
            proposers.append(ExampleChooser(random.Random(self.request.seed)))
        return proposers

    def _brief(self) -> JudgeBrief:
        scores = "\n".join(
            f"{score.json_key} ({score.type}): {score.instruction or score.name}"
            for score in self.golden_set.scores
        )
        return JudgeBrief(self.judge.task.instruction, self.spec, scores, self.request.concerns)


async def prepare_search(
    workspace: Workspace, golden_set: GoldenSet, judge: Measurement, request: JudgeSearchRequest
) -> JudgeSearch:
    """Gather what a search works with.

    Raises:
        Refusal: The evaluator is no judge, no label is for development or can measure, or the calls
            are too few.
    """
    if version_of(judge.evaluator_record) is None:
        raise Refusal(
            "The evaluator '{name}' asks no model, so there are no steps to rewrite. Name a judge, "
            "or create another evaluator.",
            name=judge.evaluator_record.name,
            next=[NextStep(tool="create_evaluator", reason="create a judge, or a better check")],
        )
    items = await read_labelled_items(judge.store, golden_set)
    if not items:
        raise no_development_label(golden_set.task_eval.name)
    await _check_labels(judge.store, golden_set)
    calls_each = judge.evaluator.calls_per_item
    item_limit = (request.max_calls // FEWEST_VERSIONS - 1) // calls_each
    if item_limit < min(len(items), FEWEST_ITEMS):
        raise Refusal(
            "{calls} calls are too few: {versions} versions of a judge on {items} labelled outputs "
            "take {needed}. Raise max_calls.",
            calls=request.max_calls,
            versions=FEWEST_VERSIONS,
            items=min(len(items), FEWEST_ITEMS),
            needed=FEWEST_VERSIONS * (min(len(items), FEWEST_ITEMS) * calls_each + 1),
        )
    selection = sorted(
        random.Random(request.seed).sample(items, item_limit) if item_limit < len(items) else items,
        key=lambda item: item.id,
    )
    paths = {run.id: run.path for run in golden_set.runs}
    rows = [RecordRow(item.id, paths[item.id]) for item in selection]
    return JudgeSearch(
        workspace=workspace,
        golden_set=golden_set,
        judge=judge,
        items=selection,
        items_left_out=len(items) - len(selection),
        work=await plan_agreement(judge, rows),
        request=request,
        spec=await _spec_text(judge.store, judge),
    )


async def plan_search(search: JudgeSearch) -> Plan:
    """Return the plan of a search: its calls, and what so many labels can show."""
    labels = len(search.items)
    summary = (
        f"Rewrite the judge {search.judge.evaluator_record.name!r} from {labels} development "
        f"labels with at most {search.request.max_calls} calls. {base_rate(search.items)} "
        f"{power_sentence(labels)}"
    )
    return await estimate_cost(search.workspace.engine, summary, search.calls_by_model, "evals")


def base_rate(items: Sequence[LabelledItem]) -> str:
    """Return how far a judge agrees that always gives the most common label, in words."""
    parts: list[str] = []
    keys = dict.fromkeys(key for item in items for key in item.labels)
    for key in keys:
        words = [item.label_words[key] for item in items if key in item.labels]
        word, count = Counter(words).most_common(1)[0]
        on_score = f" on {key}" if len(keys) > 1 else ""
        parts.append(f"Always answering {word!r}{on_score} agrees on {count} of {len(words)}.")
    return " ".join(parts)


async def _check_labels(store: ProjectStore, golden_set: GoldenSet) -> None:
    """Refuse labels that measure no judge: a judge written from them would learn their faults.

    Raises:
        Refusal: The audit of the development labels finds a fault.
    """
    audits = await audit_golden_set(store, golden_set, "development")
    faults = [fault for audit in audits.values() for fault in audit.faults]
    if faults:
        name = golden_set.task_eval.name
        raise Refusal(
            "The labels of '{name}' cannot measure any judge, so none is written from them. "
            "{fault} Let the person look again first.",
            name=name,
            fault=faults[0],
            next=[second_look(name)],
        )


async def _spec_text(store: ProjectStore, judge: Measurement) -> str:
    """Return the text of the specs that an eval measures."""
    specs = await store.children(judge.task, Spec)
    return "\n\n".join(spec.definition for spec in specs if spec.eval_id == judge.eval_record.id)
