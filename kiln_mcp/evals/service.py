"""Capabilities: create evaluators, run evals, compare and describe."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, JsonValue

from kiln_mcp.datasets.counts import count_items
from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.answers import (
    EvalRunReport,
    EvaluatorCreated,
)
from kiln_mcp.evals.arguments import NewEval, ScoreDefinition
from kiln_mcp.evals.errors import no_score
from kiln_mcp.evals.eval_reports import score_keys
from kiln_mcp.evals.lookups import find_eval, find_existing_eval
from kiln_mcp.evals.measured_specs import MeasuredSpec, measured_spec
from kiln_mcp.evals.measurement import Repeats
from kiln_mcp.evals.new_eval import make_eval, plan_of_evaluator
from kiln_mcp.evals.output_work import calls_of
from kiln_mcp.evals.part_filters import with_eval_inputs, with_items
from kiln_mcp.evals.run_reports import run_report
from kiln_mcp.evals.run_requests import RunRequest, open_evaluators, plan_work
from kiln_mcp.evals.runner import carry_out_together
from kiln_mcp.evals.sentences import after_evaluator, filter_of_test
from kiln_mcp.evals.stored_outputs import outputs_to_begin_with
from kiln_mcp.evaluators.definitions import KindName, add_extension_settings, read_definition
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition
from kiln_mcp.evaluators.registry import evaluator_of, kind_name, make_evaluator
from kiln_mcp.evaluators.spec_judges import append_source
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    handle_of,
    task_of,
)
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Runs,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    ProjectStore,
    Task,
)
from storage.errors import NextStep, Refusal

EvalReference = str
"""An eval by its name, id or handle."""
EvaluatorReference = Annotated[str | None, Field(description="Left out: the current one.")]
MOST_REPEATS: Final = 100


@capability(
    effect=Effect.WRITES,
    title="Create an evaluator",
    discovery=Discovery(
        Heading.EVALS,
        "create, make, build, define, write, add, evaluator, eval, evaluation, LLM as a judge, "
        "scorer, grader, validator, assertion, rule, regex, pattern, exact match, contains, valid "
        "JSON, Python code, function, right tool called, length, measure tone, polite, "
        "helpfulness, correctness, faithfulness, hallucination, automatic score, decide whether, "
        "another model, follows, followed, policy, longer, shorter than, words, characters, count "
        "as failed, match the label, against the expected, automatically check, catch, detect, "
        "verify, flag, forbid, required field, numbers, threshold, criterion, points, compare "
        "with reference, new judge, judge prompt, politeness, made-up facts, mentions, "
        "competitors, brevity, grade answers, from one to five, set up an evaluation for a spec, "
        "set up an eval, new eval, judge, at most",
    ),
)
async def create_evaluator(
    workspace: Workspace,
    project: ProjectReference,
    eval: Annotated[str, Field(description="Its name or id, or a name for a new one.")],
    type: Annotated[
        str,
        KindName(),
        Field(
            description="llm_judge asks a model, the others ask none: first what can be executed "
            "(command_check, code_eval), counted or compared."
        ),
    ],
    steps: Annotated[
        list[str] | None, Field(description="llm_judge: what passes and what fails.")
    ] = None,
    model: Annotated[str | None, Field(description="llm_judge: left out, the default one.")] = None,
    with_reference: Annotated[
        bool | None,
        Field(description="llm_judge: show it the item's right answer."),
    ] = None,
    reference_key: Annotated[
        str | None,
        Field(
            description="For checks: compare with the item's reference; 'reference_answer' is its "
            "stored output."
        ),
    ] = None,
    expected_value: Annotated[str | None, Field(description="exact_match: or this value.")] = None,
    substring: Annotated[str | None, Field(description="contains: or this text.")] = None,
    pattern: Annotated[str | None, Field(description="pattern_match: a regex.")] = None,
    mode: Annotated[
        str | None,
        Field(
            description="must_contain or must_match (also must_not_…); set_check: subset, "
            "superset, equal."
        ),
    ] = None,
    value_expression: Annotated[
        str | None,
        Field(description="Jinja for the part to check: (final_message | fromjson).city"),
    ] = None,
    code: Annotated[
        str | None,
        Field(
            description="code_eval: Python, score(output, trace, reference_data, task_input) or "
            "fewer of these; returns a number, or numbers by score."
        ),
    ] = None,
    settings: Annotated[
        dict[str, JsonValue] | None,
        Field(
            description="Others: case_sensitive, comparison, expected_set, expected_tools, "
            "max_count …; number_check: measure (latency_s, cost, words), at_most; "
            "command_check: command, files, programs.",
            json_schema_extra=add_extension_settings,
        ),
    ] = None,
    name: str | None = None,
    task: TaskReference = None,
    spec: Annotated[str | None, Field(description="New eval: what it measures.")] = None,
    scores: Annotated[
        list[ScoreDefinition] | None,
        Field(
            description="New eval; left out: one pass or fail, and one for each "
            "field of compared JSON."
        ),
    ] = None,
    test_filter: Annotated[
        str | None,
        Field(description="New eval: its items, as 'tag::test'; left out: the split's parts."),
    ] = None,
    golden_filter: str | None = None,
    train_filter: str | None = None,
    val_filter: str | None = None,
) -> Proposal[EvaluatorCreated]:
    """Set up a judge, metric or check that grades outputs, and its eval if that is new.

    A judge means little until check_judge has compared it with people. JSON is compared by value,
    a score that has a field's name scores that field. The person approves code first.
    """
    store = await workspace.open_project(project)
    existing_eval = await find_existing_eval(store, eval)
    owner = existing_eval.task if existing_eval else await task_of(store, task)
    existing_record = existing_eval.eval_record if existing_eval else None
    subject = await measured_spec(store, owner, spec, existing_record)
    judge_spec = subject if subject and subject.compiles(type, steps) else None
    settings_by_argument: dict[str, JsonValue] = {
        "steps": judge_spec.steps(steps) if judge_spec else list[JsonValue](steps or ()) or None,
        "model": model,
        "with_reference": with_reference,
        "reference_key": reference_key,
        "expected_value": expected_value,
        "substring": substring,
        "pattern": pattern,
        "mode": mode,
        "value_expression": value_expression,
        "code": code,
    }
    evaluator = read_definition("create_evaluator", type, settings_by_argument, settings or {})
    definition = NewEval(
        spec, tuple(scores or ()), test_filter, golden_filter, train_filter, val_filter
    )
    if existing_eval is not None and definition != NewEval():
        raise Refusal(
            "The eval '{name}' exists already, so its spec, scores and filters cannot be given. "
            "Leave them out to add an evaluator to it, or choose another name for a new eval.",
            name=existing_eval.name,
        )
    model_name = workspace.model_name(evaluator.requested_model)
    if evaluator.asks_model:
        workspace.engine.check_name(model_name)
    evaluator = await evaluator.with_records(store, existing_record)
    record = await make_evaluator(name, evaluator, model_name)
    task_eval = existing_eval
    if task_eval is None:
        if judge_spec is not None:
            definition = judge_spec.with_question(eval, definition)
        task_eval = await _new(store, owner, eval, definition, evaluator)
    evaluator.check_fields(task_eval.task)

    async def save() -> EvaluatorCreated:
        link = _SpecLink(subject, is_source=judge_spec is not None, author=workspace.author)
        eval_record = await _save_evaluator(store, task_eval, record, link)
        items = await count_items(store, task_eval.task, eval_record, "test")
        outputs = None if items else await outputs_to_begin_with(store, task_eval.task)
        next_steps = after_evaluator(
            eval_record,
            items=items,
            is_judge=evaluator_of(record).model is not None,
            steps=steps or (),
            outputs=outputs,
        )
        created = _evaluator_created(eval_record, record, items, next_steps)
        return created.model_copy(update={"handle": await handle_of(store, record)})

    plan = await plan_of_evaluator(evaluator, record.name, task_eval.eval_record.name)
    return Proposal(plan, save)


def _evaluator_created(
    eval_record: Eval, record: EvalConfig, items: int, next_steps: list[NextStep]
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
        next=next_steps,
    )


@dataclass(frozen=True, slots=True)
class _SpecLink:
    """The spec that an evaluator measures, and whether it was compiled from it."""

    subject: MeasuredSpec | None
    is_source: bool
    author: str


async def _save_evaluator(
    store: ProjectStore, task_eval: TaskEval, record: EvalConfig, link: _SpecLink
) -> Eval:
    """Save an evaluator, its eval and the eval's spec in one change; return the eval."""
    async with store.transaction() as change:
        eval_record = task_eval.eval_record
        if eval_record.current_config_id is None:
            eval_record = eval_record.replace(current_config_id=record.id)
        eval_record = change.save(eval_record, parent=task_eval.task)
        saved = change.save(record, parent=eval_record)
        subject = link.subject
        if subject is not None and link.is_source:
            append_source(change, saved, subject.record, subject.content, link.author)
        if subject is not None and subject.is_named:
            change.save(subject.record.replace(eval_id=eval_record.id))
    return eval_record


@capability(
    effect=Effect.SPENDS,
    title="Run an eval",
    runs=Runs.AS_JOB,
    discovery=Discovery(
        Heading.EVALS,
        "start, execute, launch, evaluate, evaluation, measure, benchmark, assess, score, try, "
        "rerun, again, all examples, test set, tests, bot, feature, updated model, both prompts, "
        "how well, accuracy, quality, performance, baseline, regression test, after a change, "
        "release gate, batch, experiment, see how, how does it do, does it work, good enough, "
        "now, new version, against, check everything, go, whole dataset, all cases, thirty "
        "examples, try out, trial, judge all outputs, percent right, current prompt, compare "
        "models, candidates, production ready, pass, configurations, two configurations, "
        "variants, once more, still work, current version, kick off, start an evaluation, run the "
        "evaluation, eval, measure the pass rate, evaluate a prompt",
        always_load=True,
    ),
)
async def run_eval(
    workspace: Workspace,
    project: ProjectReference,
    eval: EvalReference,
    run_configs: Annotated[
        list[str] | None, Field(description="What to run; left out: all of the task.")
    ] = None,
    outputs: Annotated[
        str | None,
        Field(description="Or judge stored outputs or traces as they are: all, tag::production"),
    ] = None,
    evaluators: Annotated[list[str] | None, Field(description="Left out: the current one.")] = None,
    part: MeasuredPart = "test",
    most_items: Annotated[
        int | None,
        Field(ge=1, description="The oldest; of stored outputs, at random."),
    ] = None,
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS, description="Outputs of each item.")] = 1,
    judge_repeats: Annotated[
        int,
        Field(ge=1, le=MOST_REPEATS, description="Verdicts of each output."),
    ] = 1,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Proposal[EvalRunReport]:
    """Run an eval: test how good a prompt or model (run config) is, or how often outputs fail.

    What is scored already is kept. Then show_results compares.
    """
    request = RunRequest(
        evaluators or (),
        run_configs or (),
        outputs,
        part,
        most_items,
        Repeats(repeats, judge_repeats),
        seed,
    )
    request.check()
    store = await workspace.open_project(project)
    task_eval = await find_eval(store, eval)
    team = await open_evaluators(workspace, store, task_eval, request.evaluators)
    work = await plan_work(workspace, store, task_eval, team, request)
    calls = calls_of(work.plans)
    await workspace.check_ready(store, calls)
    plan = await estimate_cost(workspace.engine, work.summary, calls, "evals")

    async def score() -> EvalRunReport:
        outcomes = await carry_out_together(workspace, work.plans)
        has_result = any(outcome.has_verdict or outcome.existing for outcome in outcomes)
        failures = [failure for outcome in outcomes for failure in outcome.failures]
        if failures and not has_result:
            raise no_score([failure.reason for failure in failures])
        return await run_report(work, outcomes, seed)

    return Proposal(plan, score)


async def _new(
    store: ProjectStore,
    owner: Task,
    name: str,
    definition: NewEval,
    evaluator: EvaluatorDefinition,
) -> TaskEval:
    outputs = await outputs_to_begin_with(store, owner)
    complete = with_items(name, definition, await store.tags(owner), outputs)
    record = make_eval(name, complete, evaluator.field_names(owner))
    return TaskEval(owner, await with_eval_inputs(store, owner, record))
