"""Capabilities: choose items to label, keep the labels, and measure judges against them."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.lookups import TaskEval, choose, find_eval, gather, with_judge
from kiln_mcp.evals.runner import RunOutcome, carry_out
from kiln_mcp.evals.service import EvalReference, EvaluatorReference
from kiln_mcp.evals.summaries import scores_by_item
from kiln_mcp.evals.work import Measurement, plan_calibration
from kiln_mcp.judging.answers import (
    AgreementReport,
    AgreementRow,
    Ceiling,
    ItemToLabel,
    LabellingBatch,
    LabelsSaved,
)
from kiln_mcp.judging.measurement import in_words, measure
from kiln_mcp.labels.draws import draw_strata
from kiln_mcp.labels.entries import ItemLabel, confirmed, ledger_entries, passed_on, plan_of_labels
from kiln_mcp.labels.errors import NothingToLabel, NothingToMeasure
from kiln_mcp.labels.golden_set import Pool, open_pool, strata_by_verdict
from kiln_mcp.labels.hygiene import label_warnings
from kiln_mcp.labels.ledger import Draw, Label, append_draw, append_labels, latest
from kiln_mcp.projects.references import ProjectReference
from kiln_mcp.projects.runs.ratings import VALUES, aspect_of, with_rating
from kiln_mcp.run_configs.cost_estimates import plan_of
from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    cohens_kappa,
    kappa_interval,
    percent_agreement,
    wilson_interval,
)
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalConfig, EvalOutputScore, EvalRun, ProjectStore, TaskRun

LONGEST_SHOWN = 4000
_MOST_PROBLEMS = 5


@capability(effect=Effect.SPENDS, title="Choose items to label", runs=Runs.AS_JOB)
async def next_items_to_label(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    count: Annotated[int, Field(ge=1, le=100, description="How many items.")] = 10,
    evaluator: EvaluatorReference = None,
    seed: Annotated[int, Field(ge=0, description="Repeats the draw.")] = 0,
) -> Proposal[LabellingBatch]:
    """Draw items of the golden set for a person to label, at random within the judge's verdicts.

    Show the person input and output alone; never label yourself in the person's name. The draw's
    probabilities are recorded, so that rare verdicts can be looked at more often without
    bending the measurement. Then call label_items.
    """
    store = await workspace.open_project(project)
    found = await find_eval(store, eval)
    pool = await open_pool(store, found)
    if len(pool.complete()) == len(pool.runs):
        raise NothingToLabel(
            f"All {len(pool.runs)} items of the golden set of {found.name!r} have labels. Call "
            "measure_agreement."
        )
    judge = await _judge_of(store, found, evaluator)
    if judge is None:
        return Proposal(
            Plan("Draw items to label."), partial(_draw, workspace, store, pool, None, count, seed)
        )
    work = plan_calibration(judge, pool.runs)
    summary = f"Judge {len(work.jobs)} items of the golden set, to draw from each verdict."
    await workspace.check_ready(store, work.calls_by_model)
    plan = await plan_of(workspace.engine, summary, work.calls_by_model, "evals")

    async def judge_and_draw() -> LabellingBatch:
        await carry_out(workspace, work)
        return await _draw(
            workspace, store, pool, await with_judge(judge, judge.judge), count, seed
        )

    return Proposal(plan, judge_and_draw)


async def _draw(
    workspace: Workspace,
    store: ProjectStore,
    pool: Pool,
    judge: Measurement | None,
    count: int,
    seed: int,
) -> LabellingBatch:
    labelled = pool.complete()
    verdicts: Sequence[EvalRun] = judge.verdicts if judge else ()
    strata = strata_by_verdict(pool.runs, verdicts, pool.scores[0])
    draw = Draw(
        id=workspace.id_for("draw"),
        seed=seed,
        ledger="certificate",
        evaluator=judge.judge.id if judge else None,
        strata=draw_strata(strata, labelled, count, seed),
    )
    earlier = next((one for one in pool.draws if one.id == draw.id), None)
    if earlier is None:
        async with store.transaction() as change:
            append_draw(change, pool.found.measured, draw)
    draw = earlier or draw  # an earlier attempt at this job has drawn
    chosen = {item for stratum in draw.strata.values() for item in stratum.drawn}
    # In the order of ids, which are random: neither verdict nor session shows.
    items = sorted((run for run in pool.runs if run.id in chosen), key=lambda run: run.id)
    return LabellingBatch(
        eval=pool.found.name,
        scores=[f"{s.json_key}: {', '.join(VALUES[s.type])}" for s in pool.scores],
        items=[
            ItemToLabel(item=run.id, input=_cut(run.input), output=_cut(run.output.output))
            for run in items
        ],
        unlabelled_left=len(pool.runs) - len(labelled),
        ledger=draw.ledger,
        seed=seed,
        warnings=_ledger_warnings(pool),
        next_step="label_items: give the person's labels, several at once.",
    )


@capability(effect=Effect.WRITES, title="Label items")
async def label_items(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    labels: Annotated[list[ItemLabel], Field(min_length=1, description="All or none are saved.")],
    rater: Annotated[str, Field(min_length=1, description="Who gave the labels: a person.")],
) -> Proposal[LabelsSaved]:
    """Keep a person's labels of outputs: as Kiln's ratings, and in the eval's ledger.

    Labels of items that next_items_to_label drew count for the certificate once the person has
    confirmed them; until then they are kept as passed on and measure nothing. Labels of items that
    were picked by hand are for development and never enter its estimate.
    """
    store = await workspace.open_project(project)
    pool = await open_pool(store, await find_eval(store, eval))
    entries = ledger_entries(pool, labels, rater)
    return Proposal(
        plan_of_labels(pool, entries, rater),
        partial(_save_labels, store, pool, confirmed(entries)),
        partial(_pass_on, store, pool, passed_on(entries)),
    )


async def _pass_on(
    store: ProjectStore, pool: Pool, entries: Sequence[Label], approval_id: str
) -> LabelsSaved:
    saved = await _save_labels(store, pool, entries)
    command = f"kiln-mcp approve {approval_id}"
    return saved.model_copy(
        update={
            "next_step": "The labels are kept as passed on by an assistant and measure nothing. "
            f"The person confirms them in a terminal with: {command}. Then call label_items with "
            f'approval_id="{approval_id}" alone.'
        }
    )


async def _save_labels(store: ProjectStore, pool: Pool, entries: Sequence[Label]) -> LabelsSaved:
    runs = {run.id: run for run in pool.runs}
    scores = {score.json_key: score for score in pool.scores}
    async with store.transaction() as change:
        for entry in entries:
            score = scores[entry.score]
            if entry.confirmed or pool.certified(runs[entry.item], score) is None:
                aspect = aspect_of(score, pool.found.task)
                rate = partial(with_rating, aspect=aspect, value=entry.value)
                change.amend(runs[entry.item], rate)
        append_labels(change, pool.found.measured, entries)
    after = await open_pool(store, pool.found)
    certificate = sum(entry.certifies for entry in entries)
    drawn = sum(entry.draw is not None for entry in entries)
    done = len(after.complete())
    warnings = [
        *_ledger_warnings(after),
        *_label_warnings(after, {s.json_key: after.labelled(s) for s in after.scores}),
    ]
    fresh = {(label.item, label.score, label.rater, label.at) for label in after.labels}
    return LabelsSaved(
        eval=pool.found.name,
        saved=len(entries),
        repeated=sum((one.item, one.score, one.rater, one.at) not in fresh for one in entries),
        certificate=certificate,
        development=len(entries) - drawn,
        passed_on=drawn - certificate,
        labelled_items=done,
        unlabelled_items=len(after.runs) - done,
        warnings=warnings,
        next_step=(
            "measure_agreement: what is the judge worth?"
            if done >= 12
            else "next_items_to_label: draw more items."
        ),
    )


@capability(effect=Effect.SPENDS, title="Measure a judge against people's labels", runs=Runs.AS_JOB)
async def measure_agreement(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    evaluators: Annotated[
        list[str] | None, Field(description="Names or ids; left out: all of the eval.")
    ] = None,
    ledger: Annotated[
        Literal["all", "certificate", "development"],
        Field(description="Which labels: 'certificate' for a number to rely on."),
    ] = "all",
    seed: Annotated[int, Field(ge=0, description="Of the simulated intervals.")] = 0,
) -> Proposal[AgreementReport]:
    """Say what judges are worth: agreement with people's labels, with 95 % intervals.

    Stands beside the best constant answer, which a judge must beat to have shown anything, and
    beside how far two people agree, where two labelled the same items. Judges the labelled items
    first where a judge has not.
    """
    store = await workspace.open_project(project)
    found = await find_eval(store, eval)
    pool = await open_pool(store, found)
    chosen = _choice(pool, ledger)
    if not any(chosen.values()):
        raise NothingToMeasure(
            f"No item of {found.name!r} has a label in the {ledger} ledger. Call "
            "next_items_to_label, then label_items."
        )
    judges = await _judges(store, found, evaluators)
    labelled = list({run.id: run for runs in chosen.values() for run in runs}.values())
    work = [plan_calibration(judge, labelled) for judge in judges]
    calls: dict[str, int] = {}
    for part in work:
        for model, times in part.calls_by_model.items():
            calls[model] = calls.get(model, 0) + times
    summary = f"Judge {len(labelled)} labelled items of {found.name!r}."
    await workspace.check_ready(store, calls)
    plan = await plan_of(workspace.engine, summary, calls, "evals")

    async def measure_judges() -> AgreementReport:
        outcomes = [await carry_out(workspace, part) for part in work]
        measured = [
            await with_judge(judge, judge.judge) if part.jobs else judge
            for judge, part in zip(judges, work, strict=True)
        ]
        results = _rows(pool, chosen, measured, seed)
        if not results:
            raise NothingToMeasure(_why_nothing(found, judges, outcomes))
        rows = [row for row, _ in results]
        warnings = [*_failure_warnings(outcomes), *_warnings(pool, chosen, rows, ledger)]
        return AgreementReport(
            eval=found.name,
            labelled_items=len(labelled),
            ledger=ledger,
            rows=rows,
            says=_sayings(results),
            human_ceiling=[c for score in pool.scores if (c := _ceiling(pool, score, seed))],
            newly_judged=sum(outcome.scored for outcome in outcomes),
            failed=sum(len(outcome.failures) for outcome in outcomes),
            warnings=warnings,
            next_step=_next_step([words for _, words in results]),
        )

    return Proposal(plan, measure_judges)


async def _judge_of(
    store: ProjectStore, found: TaskEval, evaluator: str | None
) -> Measurement | None:
    """Return the judge to stratify by; None where the eval has none."""
    try:
        return await gather(store, found, evaluator)
    except NothingToEvaluate:
        return None


async def _judges(
    store: ProjectStore, found: TaskEval, evaluators: Sequence[str] | None
) -> list[Measurement]:
    known = await store.children(found.measured, EvalConfig)
    if not known:
        raise NothingToEvaluate(
            f"The eval {found.name!r} has no evaluator. Make one with create_evaluator."
        )
    chosen = [choose("evaluator", known, one) for one in evaluators] if evaluators else known
    first = await gather(store, found, chosen[0].id)
    return [first, *[await with_judge(first, judge) for judge in chosen[1:]]]


def _choice(pool: Pool, ledger: str) -> dict[str, list[TaskRun]]:
    """Return the labelled items of a ledger by score key."""
    return {
        score.json_key: [run for run in pool.labelled(score) if pool.in_ledger(run, score, ledger)]
        for score in pool.scores
    }


def _rows(
    pool: Pool, chosen: dict[str, list[TaskRun]], judges: Sequence[Measurement], seed: int
) -> list[tuple[AgreementRow, str]]:
    """Return each judge's row with what it says in words, the best κ first."""
    rows: list[tuple[AgreementRow, str]] = []
    for judge in judges:
        for score in pool.scores:
            verdicts = scores_by_item(judge.verdicts, None, score.json_key)
            pairs = pool.pairs(chosen[score.json_key], score, verdicts)
            if pairs:
                measured = measure(pairs, score.type, pool.stratum_sizes(score), seed)
                key = score.json_key
                row = AgreementRow.of(judge.judge.name, key, score.type, measured)
                rows.append((row, in_words(measured, score.type)))
    return sorted(rows, key=lambda one: (one[0].score, -(one[0].kappa or 0.0), one[0].evaluator))


def _why_nothing(
    found: TaskEval, judges: Sequence[Measurement], outcomes: Sequence[RunOutcome]
) -> str:
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if failures:
        return f"No labelled item of {found.name!r} could be judged: {failures[0].reason}"
    if any(judge.evaluator.model for judge in judges):
        return (
            f"No labelled item of {found.name!r} has what its judges need, such as a reference. "
            "Make a judge without a reference with create_evaluator."
        )
    return (
        f"The evaluators of {found.name!r} ask no model and compare outputs with references, which "
        "golden items do not have, so labels cannot say more about them. Rely on their definition "
        "and call run_eval, or evolve_prompt where run configs are measured."
    )


def _ceiling(pool: Pool, score: EvalOutputScore, seed: int) -> Ceiling | None:
    """Return how far the two raters with the most shared items agree, None for one rater."""
    shared: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for raters in latest(pool.labels, score.json_key).values():
        names = sorted(raters)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                pair = raters[one].value, raters[other].value
                shared.setdefault((one, other), []).append(pair)
    if not shared:
        return None
    names, pairs = max(shared.items(), key=lambda entry: len(entry[1]))
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    interval = wilson_interval(sum(a == b for a, b in pairs), len(pairs))
    kappa, around = cohens_kappa(first, second), kappa_interval(first, second, seed=seed)
    return Ceiling(
        score=score.json_key,
        raters=list(names),
        n=len(pairs),
        agreement=round(percent_agreement(first, second), 4),
        low=round(interval.low, 4),
        high=round(interval.high, 4),
        kappa=None if isinstance(kappa, CannotTell) else round(kappa, 4),
        kappa_low=round(around.low, 4) if isinstance(around, Interval) else None,
        kappa_high=round(around.high, 4) if isinstance(around, Interval) else None,
    )


def _ledger_warnings(pool: Pool) -> list[str]:
    """Return the first lines of the ledgers that cannot be read, and how many more there are."""
    more = len(pool.problems) - _MOST_PROBLEMS
    shown = pool.problems[:_MOST_PROBLEMS]
    return [*shown, f"… and {more} more lines."] if more > 0 else list(shown)


def _label_warnings(pool: Pool, chosen: dict[str, list[TaskRun]]) -> list[str]:
    """Return what is suspicious about labels, each once, with the score where there are several."""
    several = len(pool.scores) > 1
    found = [
        f"{score.name}: {sentence}" if several else sentence
        for score in pool.scores
        for sentence in label_warnings(pool.given(chosen[score.json_key], score))
    ]
    return list(dict.fromkeys(found))


def _confirmation_warnings(pool: Pool) -> list[str]:
    """Return what does not count, because no person confirmed it."""
    unconfirmed = sum(map(pool.unconfirmed, pool.scores))
    contradicted = sum(map(pool.contradicted, pool.scores))
    warnings: list[str] = []
    if unconfirmed:
        warnings.append(
            f"{unconfirmed} labels of drawn items were passed on and not confirmed by the person: "
            "the certificate leaves them out. Call label_items again and have them confirmed."
        )
    if contradicted:
        warnings.append(
            f"{contradicted} ratings differ from the labels that the person confirmed: the "
            "confirmed labels count."
        )
    return warnings


def _failure_warnings(outcomes: Sequence[RunOutcome]) -> list[str]:
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    if not failures:
        return []
    return [f"{len(failures)} items could not be judged and are left out: {failures[0].reason}"]


def _warnings(
    pool: Pool, chosen: dict[str, list[TaskRun]], rows: Sequence[AgreementRow], ledger: str
) -> list[str]:
    warnings = [
        *_ledger_warnings(pool),
        *_confirmation_warnings(pool),
        *_label_warnings(pool, chosen),
    ]
    by_hand = any(
        not pool.in_ledger(run, score, "certificate")
        for score in pool.scores
        for run in chosen[score.json_key]
    )
    if by_hand and ledger != "development":
        warnings.append(
            "Some labels are of items that were not drawn at random: the intervals hold only if "
            "those items are like the rest. Draw with next_items_to_label."
        )
    judges = {row.evaluator for row in rows}
    if len(judges) > 1:
        warnings.append(
            f"{len(judges)} judges were compared: the best of them looks better than it is. "
            "Measure it again on fresh labels before relying on it."
        )
    return warnings


def _sayings(results: Sequence[tuple[AgreementRow, str]]) -> list[str]:
    several = len({row.score for row, _ in results}) > 1
    return [
        f"{row.evaluator}{f' on {row.score}' if several else ''}: {words}" for row, words in results
    ]


def _next_step(words: Sequence[str]) -> str:
    if any(said.startswith("Better than always") for said in words):
        return "run_eval: measure run configs with a judge that beats the constant answer."
    return (
        "Do not rank run configs by these judges. Label more items (next_items_to_label), or make "
        "a sharper judge or a check that asks no model (create_evaluator)."
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
