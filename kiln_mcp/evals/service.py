"""Capabilities: say how a task is run, how its outputs are judged, measure, and compare."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.datasets.counts import count_golden, count_items
from kiln_mcp.evals.answers import (
    Comparison,
    ComparisonRow,
    EvalReport,
    EvalRunReport,
    EvalSummary,
    EvaluatorCreated,
    EvaluatorSummary,
    FailedItem,
    ScoreRow,
    first_failures,
)
from kiln_mcp.evals.arguments import ItemChoice, ItemsToShow, NewEval
from kiln_mcp.evals.comparison import in_words, paired_difference
from kiln_mcp.evals.errors import no_score
from kiln_mcp.evals.eval_items import ItemReference, items_of
from kiln_mcp.evals.lookups import (
    TaskEval,
    all_evals,
    choose,
    find_eval,
    find_run_configs,
    load_measurement,
)
from kiln_mcp.evals.measurement import Measurement, plan_run
from kiln_mcp.evals.new_eval import make_eval, plan_of_evaluator
from kiln_mcp.evals.part_filters import with_items
from kiln_mcp.evals.runner import carry_out, ready
from kiln_mcp.evals.sentences import (
    after_comparison,
    after_evaluator,
    after_run,
    comparison_warnings,
    filter_of_test,
    no_items,
    run_warnings,
)
from kiln_mcp.evals.summaries import score_lines
from kiln_mcp.evals.worst_items import ItemsPage, look_at
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition
from kiln_mcp.evaluators.registry import AnyKind, evaluator_of, kind_name, make_evaluator
from kiln_mcp.projects.project_references import ProjectReference, is_same_name, task_of
from kiln_mcp.run_configs.cost_estimates import plan_of
from kiln_mcp.workbench.capability import Effect, Proposal, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
    Spec,
)
from storage.errors import NextStep, Refusal

EvalReference = Annotated[str, Field(description="The eval's name or id.")]
EvaluatorReference = Annotated[
    str | None, Field(description="The evaluator's name or id; left out: the eval's current one.")
]
ALL_ITEMS = ItemChoice()


@capability(
    effect=Effect.WRITES,
    title="Create an evaluator",
    search_hint="set up a judge, LLM as a judge, scorer, grader, metric, check, regex, assertion",
)
async def create_evaluator(
    workspace: Workspace,
    project: ProjectReference,
    eval: Annotated[str, Field(description="An eval's name or id, or the name of a new one.")],
    evaluator: Annotated[
        EvaluatorDefinition,
        AnyKind(),
        Field(
            description="How outputs are judged. Prefer a check that asks no model where one can "
            "decide. The reference_key 'reference_answer' is the item's stored output. JSON is "
            "compared by value: name a score after a field to score that field. value_expression "
            "is Jinja, e.g. (final_message | fromjson).city, and takes the same of the reference."
        ),
    ],
    name: Annotated[str | None, Field(description="What to call the evaluator.")] = None,
    new_eval: Annotated[
        NewEval | None, Field(description="For a new eval: its task, scores and items.")
    ] = None,
) -> Proposal[EvaluatorCreated]:
    """Make an evaluator: a model with steps to go through, or a check that asks no model.

    Creates the eval too if there is none of this name, over the split that split_data dealt. The
    first evaluator of an eval becomes its current one. A model judge must be measured against
    people's labels (measure_agreement) before its scores mean anything. The person reads and
    approves the code of a code evaluator before it is saved.
    """
    store = await workspace.open_project(project)
    matches = [
        item for item in await all_evals(store) if eval == item.id or is_same_name(eval, item.name)
    ]
    if matches and new_eval is not None:
        raise Refusal(
            "The eval '{name}' exists already, so new_eval cannot apply. Leave new_eval out to add "
            "an evaluator to it, or choose another name for a new eval.",
            name=matches[0].name,
        )
    model = workspace.model_name(evaluator.requested_model)
    if evaluator.asks_model:
        workspace.engine.check_name(model)
    record = await make_evaluator(name, evaluator, model)
    definition = new_eval or NewEval()
    task_eval = (
        choose("eval", matches, eval) if matches else await _new(store, eval, definition, evaluator)
    )
    spec = (
        await store.find(Spec, definition.spec, parent=task_eval.task) if definition.spec else None
    )

    async def save() -> EvaluatorCreated:
        eval_record = await _save_evaluator(store, task_eval, record, spec)
        items = await count_items(store, task_eval.task, eval_record, "test")
        return EvaluatorCreated(
            eval=eval_record.name,
            eval_id=eval_record.id,
            evaluator=record.name,
            evaluator_id=record.id,
            kind=kind_name(record),
            scores=_keys(eval_record),
            test_filter=filter_of_test(eval_record),
            golden_filter=eval_record.eval_configs_filter_id or "",
            test_items=items,
            is_current=eval_record.current_config_id == record.id,
            next=after_evaluator(eval_record, items=items, is_judge=evaluator.asks_model),
        )

    return Proposal(plan_of_evaluator(evaluator, record.name, task_eval.eval_record.name), save)


async def _save_evaluator(
    store: ProjectStore, task_eval: TaskEval, record: EvalConfig, spec: Spec | None
) -> Eval:
    """Save an evaluator, its eval and the eval's spec in one change; return the eval."""
    async with store.transaction() as change:
        eval_record = task_eval.eval_record
        if eval_record.current_config_id is None:
            eval_record = eval_record.replace(current_config_id=record.id)
        eval_record = change.save(eval_record, parent=task_eval.task)
        change.save(record, parent=eval_record)
        if spec is not None:
            change.save(spec.replace(eval_id=eval_record.id))
    return eval_record


@capability(
    effect=Effect.SPENDS,
    title="Run an eval",
    runs=Runs.AS_JOB,
    search_hint="test, measure, benchmark, pass rate, accuracy, regression, how good is it",
    always_load=True,
)
async def run_eval(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    run_configs: Annotated[
        list[str] | None, Field(description="Names or ids; left out: all of the task.")
    ] = None,
    evaluator: EvaluatorReference = None,
    items: Annotated[
        ItemChoice, Field(description="Which items; left out: all of the part 'test'.")
    ] = ALL_ITEMS,
) -> Proposal[EvalRunReport]:
    """Run run configs on an eval's items and judge the outputs; answer with the score table.

    What is scored already is kept, so a run that was stopped continues where it was. Compare two
    run configs with compare_run_configs, which is sharper than two intervals side by side.
    """
    store = await workspace.open_project(project)
    measurement = await load_measurement(store, await find_eval(store, eval), evaluator)
    measurement = await ready(workspace, measurement)
    configs = await find_run_configs(store, measurement.task, run_configs or [])
    chosen_items = (await _items_of_part(measurement, items.part))[: items.limit]
    if not chosen_items:
        raise no_items(measurement.eval_record, items.part)
    work = await plan_run(measurement, configs, chosen_items, seed=items.seed)
    ways = "1 run config" if len(configs) == 1 else f"{len(configs)} run configs"
    summary = f"Score {len(chosen_items)} items for {ways} of {measurement.task.name!r}."
    await workspace.check_ready(store, work.calls_by_model)
    plan = await plan_of(workspace.engine, summary, work.calls_by_model, "evals")

    async def score() -> EvalRunReport:
        outcome = await carry_out(workspace, work)
        if work.requests and len(outcome.failures) == len(work.requests):
            raise no_score([failure.reason for failure in outcome.failures])
        lines = await score_lines(measurement, configs, [item.id for item in chosen_items])
        is_calibrated = await measurement.is_calibrated()
        return EvalRunReport(
            eval=measurement.eval_record.name,
            evaluator=measurement.evaluator_record.name,
            part=items.part,
            items=len(chosen_items),
            newly_scored=outcome.new_verdicts,
            already_scored=outcome.existing,
            outputs_made=outcome.new_outputs,
            skipped=outcome.skipped,
            abstentions=outcome.abstentions,
            failed=len(outcome.failures),
            failed_by_state=dict(outcome.failures_by_state),
            failures=first_failures(
                [
                    FailedItem(
                        item=f.item_id, run_config=f.run_config, reason=f.reason, state=f.state
                    )
                    for f in outcome.failures
                ]
            ),
            table=[ScoreRow.of(line) for line in lines],
            warnings=run_warnings(
                measurement, outcome, len(chosen_items), is_calibrated=is_calibrated
            ),
            next=after_run(measurement, lines, is_calibrated=is_calibrated),
        )

    return Proposal(plan, score)


@capability(
    effect=Effect.READS,
    title="Compare two run configs",
    search_hint="A/B test, which of two models or prompts wins, significant difference",
)
async def compare_run_configs(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    first: Annotated[str, Field(description="A run config's name or id, such as the start.")],
    second: Annotated[str, Field(description="The other one, such as the new prompt.")],
    evaluator: EvaluatorReference = None,
) -> Comparison:
    """Say whether one run config is better than another, item by item, with a 95 % interval.

    Says "cannot tell" where the items do not decide. Both must have been run by run_eval.
    """
    store = await workspace.open_project(project)
    measurement = await load_measurement(store, await find_eval(store, eval), evaluator)
    first_config, second_config = await find_run_configs(store, measurement.task, [first, second])
    items = {item.id for item in await _items_of_part(measurement, "test")}
    rows: list[ComparisonRow] = []
    exclusions = 0
    for key in measurement.score_keys:
        of_one, of_two = [
            {i: s for i, s in (await measurement.scores(c.id, key)).items() if i in items}
            for c in (first_config, second_config)
        ]
        if not of_one.keys() & of_two.keys():
            raise Refusal(
                "'{first}' and '{second}' cannot be compared: no item was scored for both "
                "({first_count} and {second_count} scored items).",
                first=first_config.name,
                second=second_config.name,
                first_count=len(of_one),
                second_count=len(of_two),
                next=[NextStep(tool="run_eval", reason="score both run configs first")],
            )
        exclusions = max(exclusions, len(of_one.keys() ^ of_two.keys()))
        difference = paired_difference(of_one, of_two)
        rows.append(
            ComparisonRow.of(
                key, difference, in_words(difference, first_config.name, second_config.name)
            )
        )
    return Comparison(
        eval=measurement.eval_record.name,
        evaluator=measurement.evaluator_record.name,
        first=first_config.name,
        second=second_config.name,
        rows=rows,
        exclusions=exclusions,
        warnings=comparison_warnings(measurement, rows, exclusions),
        next=after_comparison(measurement),
    )


@capability(
    effect=Effect.READS,
    title="Describe evals",
    search_hint="show scores, results, failures, report, leaderboard, what went wrong",
)
async def describe_eval(
    workspace: Workspace,
    project: ProjectReference,
    eval: Annotated[
        str | None, Field(description="An eval's name or id; left out: list all evals.")
    ] = None,
    evaluator: EvaluatorReference = None,
    show: Annotated[
        ItemsToShow | None,
        Field(description="Show items with input, expected, output and scores; {}: failures."),
    ] = None,
) -> EvalReport:
    """List a project's evals, or show one: its evaluators and the score table of run configs.

    With `show` also items with what was answered and how it was scored, the worst first.
    """
    store = await workspace.open_project(project)
    evals = await all_evals(store)
    if eval is None:
        return EvalReport(
            evals=[await _summary(store, task_eval) for task_eval in evals],
            evaluators=[],
            table=[],
            next=[]
            if evals
            else [NextStep(tool="create_evaluator", reason="say how outputs are judged")],
        )
    task_eval = await find_eval(store, eval)
    evaluators = await store.children(task_eval.eval_record, EvalConfig)
    view = await _look(store, task_eval, evaluator, show) if show else None
    return EvalReport(
        evals=[await _summary(store, task_eval)],
        evaluators=[
            await _evaluator(store, task_eval.eval_record, record) for record in evaluators
        ],
        table=await _table(store, task_eval, evaluator) if evaluators else [],
        items=view.items if view else [],
        items_found=view.total if view else None,
        next=[]
        if evaluators
        else [NextStep(tool="create_evaluator", reason="give this eval an evaluator")],
    )


async def _new(
    store: ProjectStore, name: str, definition: NewEval, evaluator: EvaluatorDefinition
) -> TaskEval:
    owner = await task_of(store, definition.task)
    complete = with_items(name, definition, await store.tags(owner))
    return TaskEval(owner, make_eval(name, complete, evaluator.field_names(owner)))


async def _look(
    store: ProjectStore, task_eval: TaskEval, evaluator: str | None, show: ItemsToShow
) -> ItemsPage:
    measurement = await load_measurement(store, task_eval, evaluator)
    configs = await find_run_configs(
        store, measurement.task, [show.run_config] if show.run_config else []
    )
    items = await _items_of_part(measurement, show.part)
    only_failures = show.which == "failures"
    return await look_at(measurement, configs, items, failures=only_failures, limit=show.limit)


async def _table(store: ProjectStore, task_eval: TaskEval, evaluator: str | None) -> list[ScoreRow]:
    measurement = await load_measurement(store, task_eval, evaluator)
    config_ids = await measurement.judged_run_configs()
    if not config_ids:
        return []
    configs = [
        config
        for config in await find_run_configs(store, measurement.task, [])
        if config.id in config_ids
    ]
    items = [item.id for item in await _items_of_part(measurement, "test")]
    lines = await score_lines(measurement, configs, items)
    return [ScoreRow.of(line) for line in lines]


async def _summary(store: ProjectStore, task_eval: TaskEval) -> EvalSummary:
    return EvalSummary(
        eval=task_eval.eval_record.name,
        id=task_eval.eval_record.id,
        task=task_eval.task.name,
        scores=_keys(task_eval.eval_record),
        test_items=await count_items(store, task_eval.task, task_eval.eval_record, "test"),
        golden_items=await count_golden(store, task_eval.task, task_eval.eval_record),
        evaluators=(await store.counts(task_eval.eval_record)).get("eval_config", 0),
    )


async def _evaluator(
    store: ProjectStore, eval_record: Eval, record: EvalConfig
) -> EvaluatorSummary:
    return EvaluatorSummary(
        evaluator=record.name,
        id=record.id,
        kind=kind_name(record) if record.config_type == "v2" else record.config_type,
        model=evaluator_of(record).model,
        is_current=eval_record.current_config_id == record.id,
        results=(await store.counts(record)).get("eval_run", 0),
    )


async def _items_of_part(measurement: Measurement, name: str) -> list[ItemReference]:
    part = measurement.eval_record.part(name)
    return await items_of(measurement.store, measurement.task, part)


def _keys(eval_record: Eval) -> list[str]:
    return [score.json_key for score in eval_record.output_scores]
