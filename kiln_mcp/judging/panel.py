"""The panel of a judge: cheap other verdicts of the same outputs.

Members are the eval's other judges, variants of the judge's prompt, the embedded model, and a
second verdict of the judge itself. Their verdicts are stored as results of evaluators, and make the
verdict matrix. Nobody measures a member by itself: where they disagree, the judge may err.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from kiln_mcp.evals.measurement import Measurement, VerdictPlan, plan_agreement
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evaluators.evaluator import calls_of_item
from kiln_mcp.judging.judge_versions import template_judge
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.llm import EMBEDDED
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.workbench.prompt_templates import load_prompt
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalConfig, LlmJudge
from storage.index.results import RecordRow

Variant = Literal["strict", "lenient", "reversed", "embedded"]
VARIANTS: Final[Sequence[Variant]] = ("strict", "lenient", "reversed", "embedded")
"""In the order in which they join a panel; the embedded model is free and slow."""
MOST_MEMBERS: Final = 8
MOST_EMBEDDED_ITEMS: Final = 300
"""Items above which the embedded model, which takes seconds for each, joins no panel."""


@dataclass(frozen=True, slots=True)
class PanelPlan:
    """What is left to do for a panel.

    Attributes:
        judge: The judge that the panel is for.
        items: The stored outputs to be judged.
        work: What is left to do for the judge itself, and for members that are there.
        new_records: The variants to be saved, which judge all items.
    """

    judge: Measurement
    items: Sequence[RecordRow]
    work: Sequence[VerdictPlan]
    new_records: Sequence[EvalConfig]

    @property
    def members(self) -> int:
        """Return the number of members."""
        return len(self.work) - 1 + len(self.new_records)

    @property
    def calls_by_model(self) -> Mapping[str, int]:
        """Return how often each model will be asked."""
        calls = sum((Counter(part.calls_by_model) for part in self.work), Counter[str]())
        for record in self.new_records:
            evaluator = replace(self.judge, evaluator_record=record).evaluator
            for model, calls_each in calls_of_item(evaluator).items():
                calls[model] += calls_each * len(self.items)
        return calls


def panel_of(record: EvalConfig) -> str | None:
    """Return the id of the judge whose panel an evaluator was made for; None if for none."""
    return record.properties.panel_of if isinstance(record.properties, LlmJudge) else None


async def plan_panel(
    workspace: Workspace, judge: Measurement, items: Sequence[RecordRow], members: int
) -> PanelPlan:
    """Return what is left to do for a panel of so many members.

    The eval's other judges come first, then variants of the judge. Members that are there are kept,
    also if they are more.
    """
    store, own = judge.store, judge.evaluator_record
    records = await store.children(judge.eval_record, EvalConfig)
    members_so_far = [record for record in records if _is_member(judge, record)]
    variants = {
        _variant_of(record): record for record in members_so_far if panel_of(record) == own.id
    }
    candidates = [
        record
        for variant in VARIANTS
        if variant not in variants and (record := _make_variant(judge, variant)) is not None
    ]
    if len(items) > MOST_EMBEDDED_ITEMS or not await _has_embedded_model(workspace):
        candidates = [record for record in candidates if not _is_embedded(judge, record)]
    new_records = candidates[: max(0, members - len(members_so_far))]
    work = [
        await plan_agreement(replace(judge, evaluator_record=record), items)
        for record in [own, *members_so_far]
    ]
    return PanelPlan(judge, items, work, new_records)


async def plan_panels(
    workspace: Workspace, judges: Sequence[Measurement], golden_set: GoldenSet, members: int
) -> list[PanelPlan]:
    """Return what is left to do for the panels of judges; nothing for no members."""
    items = [RecordRow(run.id, run.path) for run in golden_set.runs]
    return [
        await plan_panel(workspace, judge, items, members)
        for judge in judges
        if members and judge.evaluator.model is not None
    ]


async def carry_out_panels(workspace: Workspace, plans: Sequence[PanelPlan]) -> list[RunOutcome]:
    """Save the new members of panels, and ask for the verdicts that are missing."""
    return [outcome for plan in plans for outcome in await carry_out_panel(workspace, plan)]


async def carry_out_panel(workspace: Workspace, plan: PanelPlan) -> list[RunOutcome]:
    """Save the new members, and ask all members for the verdicts that are missing."""
    records = await _save(workspace, plan)
    work = [
        *plan.work,
        *[
            await plan_agreement(replace(plan.judge, evaluator_record=record), plan.items)
            for record in records
        ],
    ]
    return [await carry_out(workspace, part) for part in work if part.requests]


async def _save(workspace: Workspace, plan: PanelPlan) -> list[EvalConfig]:
    """Save the new members once for all attempts at a job; return them as they are stored."""
    store, eval_record = plan.judge.store, plan.judge.eval_record
    new_members = [
        record.replace(id=workspace.id_for(f"panel member {record.name}"))
        for record in plan.new_records
    ]
    records = {record.id: record for record in await store.children(eval_record, EvalConfig)}
    missing = [record for record in new_members if record.id not in records]
    if missing:
        async with store.transaction(is_patient=True) as change:
            records |= {r.id: change.save(r, parent=eval_record) for r in missing}
    return [records[record.id] for record in new_members]


async def _has_embedded_model(workspace: Workspace) -> bool:
    with suppress(ModelError):
        await workspace.engine.check_ready({EMBEDDED: 1})
        return True
    return False


def _is_embedded(judge: Measurement, record: EvalConfig) -> bool:
    return replace(judge, evaluator_record=record).evaluator.model == EMBEDDED


def _is_member(judge: Measurement, record: EvalConfig) -> bool:
    """Return whether an evaluator joins a judge's panel: another judge, or the judge's variant."""
    own = judge.evaluator_record.id
    return (
        record.id != own
        and panel_of(record) in {None, own}
        and replace(judge, evaluator_record=record).evaluator.model is not None
    )


def _variant_of(record: EvalConfig) -> str:
    return record.name.rpartition(" ")[2]


def _make_variant(judge: Measurement, variant: Variant) -> EvalConfig | None:
    """Return a variant of a judge; None if there is none of this kind."""
    record = judge.evaluator_record
    settings = template_judge(record)
    if settings is None:
        return None
    steps = settings.judge_instructions or ()
    match variant:
        case "strict" | "lenient":
            text = load_prompt("judging", f"panel_{variant}").text.strip()
            settings = settings.replace(prompt_template=f"{settings.prompt_template}\n\n{text}")
        case "embedded":
            if judge.evaluator.model == EMBEDDED:
                return None
            model = stored_model(EMBEDDED)
            settings = settings.replace(model_name=model.name, model_provider=model.provider)
        case "reversed":
            if len(steps) < 2:
                return None
            settings = settings.replace(judge_instructions=tuple(reversed(steps)))
    return EvalConfig(
        name=f"{record.name[:100]}, panel: {variant}",
        config_type="v2",
        properties=settings.replace(panel_of=record.id),
    )
