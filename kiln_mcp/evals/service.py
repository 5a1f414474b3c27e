"""Capabilities: create evaluators, run evals, compare and describe."""

from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.datasets.counts import count_items
from kiln_mcp.evals.answers import (
    Comparison,
    ComparisonRow,
    EvalReport,
    EvalRunReport,
    EvaluatorCreated,
)
from kiln_mcp.evals.arguments import ItemChoice, ItemsToShow, NewEval
from kiln_mcp.evals.comparison import in_words, paired_difference
from kiln_mcp.evals.errors import no_score, not_compared
from kiln_mcp.evals.eval_reports import eval_report, eval_summaries, items_of_part, score_keys
from kiln_mcp.evals.lookups import (
    TaskEval,
    all_evals,
    find_eval,
    find_existing_eval,
    find_run_configs,
    load_measurement,
)
from kiln_mcp.evals.measurement import Repeats, plan_run
from kiln_mcp.evals.new_eval import make_eval, plan_of_evaluator
from kiln_mcp.evals.part_filters import with_eval_inputs, with_items
from kiln_mcp.evals.run_reports import run_report
from kiln_mcp.evals.runner import carry_out, ready
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.evals.sentences import (
    after_comparison,
    after_evaluator,
    check_judge_repeats,
    comparison_warnings,
    empty_score_warnings,
    filter_of_test,
    no_items,
    plan_sentence,
)
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition
from kiln_mcp.evaluators.registry import AnyKind, kind_name, make_evaluator
from kiln_mcp.projects.project_references import ProjectReference, handle_of, task_of
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.answer_size import fitting_page
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
MOST_REPEATS: Final = 100


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
    existing_eval = await find_existing_eval(store, eval)
    if existing_eval is not None and new_eval is not None:
        raise Refusal(
            "The eval '{name}' exists already, so new_eval cannot apply. Leave new_eval out to add "
            "an evaluator to it, or choose another name for a new eval.",
            name=existing_eval.name,
        )
    model = workspace.model_name(evaluator.requested_model)
    if evaluator.asks_model:
        workspace.engine.check_name(model)
    record = await make_evaluator(name, evaluator, model)
    definition = new_eval or NewEval()
    task_eval = existing_eval or await _new(store, eval, definition, evaluator)
    evaluator.check_fields(task_eval.task)
    spec = (
        await store.find(Spec, definition.spec, parent=task_eval.task) if definition.spec else None
    )

    async def save() -> EvaluatorCreated:
        eval_record = await _save_evaluator(store, task_eval, record, spec)
        items = await count_items(store, task_eval.task, eval_record, "test")
        created = _evaluator_created(eval_record, record, items, is_judge=evaluator.asks_model)
        return created.model_copy(update={"handle": await handle_of(store, record)})

    return Proposal(plan_of_evaluator(evaluator, record.name, task_eval.eval_record.name), save)


def _evaluator_created(
    eval_record: Eval, record: EvalConfig, items: int, *, is_judge: bool
) -> EvaluatorCreated:
    return EvaluatorCreated(
        eval=eval_record.name,
        eval_id=eval_record.id,
        evaluator=record.name,
        evaluator_id=record.id,
        handle=record.id,
        kind=kind_name(record),
        scores=score_keys(eval_record),
        test_filter=filter_of_test(eval_record),
        golden_filter=eval_record.eval_configs_filter_id or "",
        test_items=items,
        is_current=eval_record.current_config_id == record.id,
        next=after_evaluator(eval_record, items=items, is_judge=is_judge),
    )


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
    repeats: Annotated[
        int, Field(ge=1, le=MOST_REPEATS, description="Outputs of each item, for how sure it is.")
    ] = 1,
    judge_repeats: Annotated[
        int,
        Field(ge=1, le=MOST_REPEATS, description="Verdicts of each output, for a judge's noise."),
    ] = 1,
) -> Proposal[EvalRunReport]:
    """Run run configs on an eval's items and judge the outputs; answer with the score table.

    What is scored already is kept, so a run that was stopped continues where it was. Compare two
    run configs with compare_run_configs, which is sharper than two intervals side by side. With
    repeats: how many items pass all their outputs, how many one, and where variance comes from.
    """
    store = await workspace.open_project(project)
    measurement = await load_measurement(store, await find_eval(store, eval), evaluator)
    measurement = await ready(workspace, measurement)
    configs = await find_run_configs(store, measurement.task, run_configs or [])
    chosen_items = (await items_of_part(measurement, items.part))[: items.limit]
    if not chosen_items:
        raise no_items(measurement.eval_record, items.part)
    check_judge_repeats(measurement, judge_repeats)
    times = Repeats(repeats, judge_repeats)
    work = await plan_run(measurement, configs, chosen_items, seed=items.seed, repeats=times)
    summary = plan_sentence(measurement, configs, len(chosen_items), times)
    await workspace.check_ready(store, work.calls_by_model)
    plan = await estimate_cost(workspace.engine, summary, work.calls_by_model, "evals")

    async def score() -> EvalRunReport:
        outcome = await carry_out(workspace, work)
        if outcome.failures and not outcome.has_verdict:
            raise no_score([failure.reason for failure in outcome.failures])
        return await run_report(work, outcome, configs, chosen_items, items.part)

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

    Says "cannot tell" where the items do not decide. Both must have been run by run_eval. An item
    with several outputs counts once, with their mean.
    """
    store = await workspace.open_project(project)
    measurement = await load_measurement(store, await find_eval(store, eval), evaluator)
    first_config, second_config = await find_run_configs(store, measurement.task, [first, second])
    items = {item.id for item in await items_of_part(measurement, "test")}
    rows: list[ComparisonRow] = []
    exclusions = 0
    configs = (first_config, second_config)
    outputs = await read_scored_outputs(measurement, configs)
    for key in measurement.score_keys:
        if key in outputs.empty:
            continue
        of_one, of_two = [outputs.means(config.id, key, items) for config in configs]
        if not of_one.keys() & of_two.keys():
            raise not_compared(first_config.name, second_config.name, len(of_one), len(of_two))
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
        warnings=[
            *comparison_warnings(measurement, rows, exclusions),
            *empty_score_warnings(outputs.empty),
        ],
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
            evals=await eval_summaries(store, evals),
            evaluators=[],
            table=[],
            next=[]
            if evals
            else [NextStep(tool="create_evaluator", reason="say how outputs are judged")],
        )
    task_eval = await find_eval(store, eval)
    if show is None:
        return await eval_report(workspace, store, task_eval, evaluator, None)

    async def find_page(limit: int) -> EvalReport:
        page = show.model_copy(update={"limit": limit})
        return await eval_report(workspace, store, task_eval, evaluator, page)

    return await fitting_page(workspace.answer_tokens, show.limit, "items", find_page)


async def _new(
    store: ProjectStore, name: str, definition: NewEval, evaluator: EvaluatorDefinition
) -> TaskEval:
    owner = await task_of(store, definition.task)
    complete = with_items(name, definition, await store.tags(owner))
    record = make_eval(name, complete, evaluator.field_names(owner))
    return TaskEval(owner, await with_eval_inputs(store, owner, record))
