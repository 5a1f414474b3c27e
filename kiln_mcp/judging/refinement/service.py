"""Capability: rewrite a judge from where it differs from people, and say what that shows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from pydantic import Field, JsonValue

from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.measurement import Measurement, plan_agreement
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evals.sentences import host_is_not_blind
from kiln_mcp.evals.service import EvalReference, EvaluatorReference
from kiln_mcp.evaluators.verdict_matrix import read_verdict_matrix
from kiln_mcp.judging.judge_versions import JudgeVersion, version_of, with_version
from kiln_mcp.judging.refinement.answers import JudgeImprovement, TriedJudge
from kiln_mcp.judging.refinement.claims import (
    JudgeClaim,
    claim_of,
    claim_sentence,
    limits_of_claim,
)
from kiln_mcp.judging.refinement.labelled_items import ItemVerdict
from kiln_mcp.judging.refinement.preparation import (
    JudgeSearch,
    JudgeSearchRequest,
    plan_search,
    prepare_search,
)
from kiln_mcp.judging.refinement.search import (
    JudgeSearchResult,
    TriedVersion,
    measure_version,
    search_versions,
)
from kiln_mcp.judging.refinement.search_log import FILE, write_search_log
from kiln_mcp.judging.refinement.version_trials import VersionTrials
from kiln_mcp.judging.verdict_reasons import read_verdict_reasons
from kiln_mcp.labels.golden_set import open_golden_set
from kiln_mcp.llm import HOST
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalConfig
from storage.errors import NextStep
from storage.index.results import RecordRow

_NUMBER: Final = re.compile(r" v(\d+)$")
_LONGEST_NAME: Final = 100
PANEL_MEMBERS: Final = 3
"""Members of a panel that are enough to tell where a judge is in doubt."""


@capability(
    effect=Effect.SPENDS,
    title="Improve a judge",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.JUDGES,
        "refine, fix, correct, rewrite, better judge, align, alignment, calibrate, agree with me, "
        "judge prompt, grader, evaluator, rubric, criteria, steps, learn from my labels, from "
        "disagreements, from feedback, few-shot, examples, too strict, too lenient, too harsh, "
        "wrong verdicts, judge is wrong, misjudges, sharpen, tune the judge",
    ),
)
async def improve_judge(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    evaluator: EvaluatorReference = None,
    concerns: Annotated[str | None, Field(description="What it gets wrong.")] = None,
    model: Annotated[str | None, Field(description="Rewrites it.")] = None,
    with_examples: Annotated[bool, Field(description="Also try labelled examples.")] = False,
    max_calls: Annotated[int, Field(ge=8, le=100_000)] = 200,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Proposal[JudgeImprovement]:
    """Improve a judge: rewrite it from where it differs from people's development labels.

    Saves a new evaluator. Certificate labels stay hidden.
    """
    store = await workspace.open_project(project)
    task_eval = await find_eval(store, eval)
    judge = await load_measurement(store, task_eval, evaluator)
    golden_set = await open_golden_set(store, task_eval)
    request = JudgeSearchRequest(
        concerns or "", workspace.model_name(model), with_examples, max_calls, seed
    )
    search = await prepare_search(workspace, golden_set, judge, request)
    await workspace.check_ready(store, search.calls_by_model)
    return Proposal(await plan_search(search), partial(_improve, search))


@dataclass(frozen=True, slots=True)
class _Saved:
    """The winner, and the file of the search."""

    winner: EvalConfig | None
    log: str


async def _improve(search: JudgeSearch) -> JudgeImprovement:
    """Search, save the best version with its verdicts, and report."""
    workspace, request = search.workspace, search.request
    await carry_out(workspace, search.work)
    start = await _start(search)
    trials = VersionTrials(workspace, search.judge, search.items)

    async def tell(calls: int, sentence: str) -> None:
        await workspace.report(calls, request.max_calls, sentence)

    result = await search_versions(start, trials, search.proposers(), request.max_calls, tell)
    saved = await _save(search, result)
    if saved.winner is not None:
        await _judge_again(search, saved.winner)
    return _report(search, result, saved, trials.failures)


async def _start(search: JudgeSearch) -> TriedVersion:
    """Return the judge as it is, with its stored verdicts."""
    judge, record = search.judge, search.judge.evaluator_record
    matrix = await read_verdict_matrix(judge.store, judge.eval_record, [record])
    member = matrix.member(record.id)
    ids = [item.id for item in search.items]
    reasons = await read_verdict_reasons(judge.store, record, ids)
    verdicts = {
        item: ItemVerdict(
            {
                key: column[item]
                for key in judge.score_keys
                if member and item in (column := matrix.column(member, key))
            },
            reasons.get(item, ""),
        )
        for item in ids
    }
    version = version_of(record) or JudgeVersion(())
    return measure_version(search.items, version, "The judge as it was.", verdicts)


async def _save(search: JudgeSearch, result: JudgeSearchResult) -> _Saved:
    """Save the best version and the log of the search, both or none; once for all attempts."""
    judge, workspace = search.judge, search.workspace
    evaluators = await judge.store.children(judge.eval_record, EvalConfig)
    evaluator_id = workspace.id_for("evaluator")
    name = _name(judge.evaluator_record.name, [record.name for record in evaluators])
    file = FILE.format(run=evaluator_id)
    winner = None
    if result.best:
        version = result.versions[result.best].version
        winner = next(
            (record for record in evaluators if record.id == evaluator_id),
            with_version(judge.evaluator_record, version, name, evaluator_id),
        )
    async with judge.store.transaction(is_patient=True) as change:
        if winner is not None and winner.origin is None:
            winner = change.save(winner, parent=judge.eval_record)
        write_search_log(change, judge.eval_record, file, judge.evaluator_record, winner, result)
    return _Saved(winner, str(judge.store.side_folder(judge.eval_record) / file))


def _name(name: str, names: Sequence[str]) -> str:
    """Return a judge's name with the next free number of a version."""
    stem = _NUMBER.sub("", name)[:_LONGEST_NAME]
    number = 2
    while f"{stem} v{number}" in names:
        number += 1
    return f"{stem} v{number}"


async def _judge_again(search: JudgeSearch, winner: EvalConfig) -> None:
    """Store the winner's verdicts, which the response cache holds."""
    judge = search.judge
    (record,) = [
        record
        for record in await judge.store.children(judge.eval_record, EvalConfig)
        if record.id == winner.id
    ]
    paths = {run.id: run.path for run in search.golden_set.runs}
    rows = [RecordRow(item.id, paths[item.id]) for item in search.items]
    measurement = Measurement(judge.store, judge.task, judge.eval_record, record)
    await carry_out(search.workspace, await plan_agreement(measurement, rows))


def _report(
    search: JudgeSearch, result: JudgeSearchResult, saved: _Saved, failures: int
) -> JudgeImprovement:
    claim = claim_of(result, search.request.seed)
    name, winner = search.judge.evaluator_record.name, saved.winner
    gain = claim.interval
    return JudgeImprovement(
        verdict=claim_sentence(claim, name, winner.name if winner else None),
        gain_shown=claim.is_gain_shown,
        start=name,
        winner=winner.name if winner else None,
        winner_id=winner.id if winner else None,
        development_labels=len(search.items),
        hidden_items=search.hidden_items,
        disagreements_before=claim.start.disagreements,
        disagreements_after=claim.best.disagreements,
        agreement_before=round(claim.start.agreement, 4),
        agreement_after=round(claim.best.agreement, 4),
        agreement_corrected=round(claim.estimate.corrected_mean, 4),
        agreement_at_least=round(claim.estimate.low, 4),
        gain_low=round(gain.low, 4) if gain else None,
        gain_high=round(gain.high, 4) if gain else None,
        steps=[*claim.best.version.steps],
        examples=len(claim.best.version.examples),
        versions=[
            TriedJudge(
                version=number,
                change=entry.reason,
                agreement=round(entry.agreement, 4),
                disagreements=entry.disagreements,
                is_accepted=entry.is_accepted,
            )
            for number, entry in enumerate(result.versions)
            if number
        ],
        stop_reason=result.stop.value,
        calls=result.calls,
        search_log=saved.log,
        warnings=_warnings(search, result, claim, failures),
        next=_next_steps(search, claim, winner),
    )


def _warnings(
    search: JudgeSearch, result: JudgeSearchResult, claim: JudgeClaim, failures: int
) -> list[str]:
    warnings: list[str] = []
    if not claim.start.loss:
        warnings.append(
            "The judge agrees with all development labels: there was nothing to learn. Label "
            "outputs that show what bothers the person."
        )
    else:
        warnings += limits_of_claim(claim, len(result.versions) - 1)
    if failures:
        warnings.append(
            f"{failures} verdicts of versions could not be used and count as disagreement."
        )
    if search.items_left_out:
        warnings.append(
            f"{search.items_left_out} labelled outputs were left out at random: max_calls is not "
            "enough for all."
        )
    if search.judge.evaluator.model == HOST:
        warnings.append(host_is_not_blind(()))
    return warnings


def _next_steps(
    search: JudgeSearch, claim: JudgeClaim, winner: EvalConfig | None
) -> list[NextStep]:
    """Return the calls that tell more: fresh labels, and the measurement of the winner."""
    name = search.golden_set.task_eval.name
    if winner is None:
        reason = "label more outputs: so few show little"
        arguments: dict[str, JsonValue] = {"eval": name, "purpose": "development"}
        return [NextStep(tool="draw_items_to_label", reason=reason, arguments=arguments)]
    return [
        NextStep(
            tool="check_judge",
            reason="ask a panel: it saves labels; make_current uses the new judge",
            arguments={"eval": name, "evaluators": [winner.name], "panel": PANEL_MEMBERS},
        ),
        NextStep(
            tool="draw_items_to_label",
            reason="draw fresh items for the certificate of the new judge",
            arguments={"eval": name, "evaluator": winner.name, "purpose": "certificate"},
        ),
    ]
