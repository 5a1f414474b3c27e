"""Save the drafts of a session, all or nothing: specs, evals, judges, evidence, feedback."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kiln_mcp.datasets.parts import eval_tag, tag_filter, tag_of
from kiln_mcp.evals.arguments import NewEval, ScoreDefinition
from kiln_mcp.evals.gate.rules import MUST_PASS
from kiln_mcp.evals.new_eval import make_eval
from kiln_mcp.evals.part_filters import with_items
from kiln_mcp.evals.stored_outputs import outputs_to_begin_with
from kiln_mcp.evaluators.kinds.llm_judge import LlmJudgeDefinition
from kiln_mcp.evaluators.registry import make_evaluator
from kiln_mcp.evaluators.spec_judges import (
    append_source,
    content_digest,
    judge_steps,
    score_instruction,
    source_of,
)
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.spec_texts.content_files import ContentAuthor, append_content
from kiln_mcp.spec_texts.session_events import Draft, SessionEvent, SpecSession
from kiln_mcp.spec_texts.session_files import append_event
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, SpecContent
from kiln_mcp.spec_texts.spec_kinds import definition, fields_of, kind_of, properties_of
from kiln_mcp.specs.draft_fields import fields_of_draft
from kiln_mcp.specs.drafts import distinct_names
from storage import Change, Eval, EvalConfig, ProjectStore, Spec, Task, TaskRun, TaskRunSplit
from storage.errors import NextStep, Refusal
from storage.records.run import Feedback
from storage.records.spec import StepConfig, SyntheticDataConfig, TaskSample

_OURS: Final = "pass = "
"""How the instruction of a score begins that was compiled from a spec."""


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """Who saves, and which model is to judge.

    Attributes:
        author: The person, and the assistant that passed it on.
        judge_model: The judge's model; None compiles no judge.
        job: The job of the call; "" outside of jobs.
    """

    author: str
    judge_model: str | None
    job: str = ""


@dataclass(slots=True)
class PreparedDraft:
    """What saving one draft writes.

    Attributes:
        draft: The draft.
        spec: The record that it changes; None for a new one.
        eval_record: Its eval, with what changes; None for no eval.
        is_new_eval: Whether the eval is new.
        judge: A new judge; None if the current one is compiled from this content.
        evidence: Runs of evidence, to be checked at each change of a prompt.
        feedback: What the person said of runs, by run.
    """

    draft: Draft
    spec: Spec | None = None
    eval_record: Eval | None = None
    is_new_eval: bool = False
    judge: EvalConfig | None = None
    evidence: Sequence[TaskRun] = ()
    feedback: Sequence[tuple[TaskRun, str]] = ()


@dataclass(slots=True)
class SaveOutcome:
    """What was saved: the drafts with their records' ids, and notes for the person."""

    drafts: list[Draft] = field(default_factory=list[Draft])
    notes: list[str] = field(default_factory=list[str])


async def save_session(
    store: ProjectStore, task: Task, session: SpecSession, request: SaveRequest
) -> SaveOutcome:
    """Save the drafts that wait, in one transaction.

    Raises:
        Refusal: A draft's fields do not fit its kind.
        storage.StorageError: The project cannot be written, or another person changed a spec.
    """
    outcome = SaveOutcome()
    waiting = [draft for draft in session.open_drafts if not draft.is_saved]
    await _check_unchanged(store, task, session, waiting)
    plans = await _prepare_all(store, task, waiting, request, outcome)
    async with store.transaction(is_patient=True) as change:
        for item in plans:
            outcome.drafts.append(_write(change, task, session, item, request))
        event = SessionEvent(
            session=session.id,
            step="save",
            by=request.author,
            job=request.job,
            drafts=tuple(outcome.drafts),
        )
        append_event(change, task, event)
    return outcome


async def _check_unchanged(
    store: ProjectStore, task: Task, session: SpecSession, drafts: Sequence[Draft]
) -> None:
    """Refuse to save over what others wrote into a spec since the session read it.

    Raises:
        Refusal: A spec has other fields now.
    """
    for draft in drafts:
        base = session.saved_draft(draft.id)
        if base is None or draft.spec_id is None:
            continue
        record = await store.find(Spec, draft.spec_id, parent=task)
        if fields_of(record) != fields_of_draft(base):
            raise Refusal(
                "Nothing was saved: somebody changed the spec '{name}' since this session read it. "
                "Open it as it is now, and make the edits there.",
                name=record.name,
                next=[
                    NextStep(
                        tool="build_spec",
                        reason="open the spec as it is now",
                        arguments={"spec": record.name},
                    )
                ],
            )


async def _prepare_all(
    store: ProjectStore,
    task: Task,
    drafts: Sequence[Draft],
    request: SaveRequest,
    outcome: SaveOutcome,
) -> list[PreparedDraft]:
    specs = await store.children(task, Spec)
    evals = await store.children(task, Eval)
    used_names = [spec.name for spec in specs]
    plans: list[PreparedDraft] = []
    for draft in drafts:
        properties_of(draft.content.kind, fields_of_draft(draft))
        record = next((spec for spec in specs if spec.id == draft.spec_id), None)
        if record is None:
            record = next((spec for spec in specs if _is_same(spec, draft)), None)
        draft_to_save = draft
        if record is None:
            (name,) = distinct_names([draft.content.name], used_names)
            if name != draft.content.name:
                outcome.notes.append(
                    f"There is a spec '{draft.content.name}' already, so this one is called "
                    f"'{name}'. To change that one, give it as `spec`."
                )
            content = replace(draft.content, name=name)
            draft_to_save = draft.replace(content=content)
            used_names.append(name)
        elif record.eval_id:
            draft_to_save = draft.replace(eval_id=draft.eval_id or record.eval_id)
        item = PreparedDraft(draft_to_save, record)
        await _prepare_eval(store, task, item, evals, request)
        await _prepare_runs(store, task, item, outcome)
        plans.append(item)
    return plans


def _is_same(spec: Spec, draft: Draft) -> bool:
    """Return whether a spec is this draft, saved before."""
    content = draft.content
    is_named_so = spec.name.casefold() == content.name.casefold()
    return (
        is_named_so and kind_of(spec) is content.kind and fields_of(spec) == fields_of_draft(draft)
    )


async def _prepare_eval(
    store: ProjectStore,
    task: Task,
    item: PreparedDraft,
    evals: list[Eval],
    request: SaveRequest,
) -> None:
    draft = item.draft
    record = next((e for e in evals if e.id == draft.eval_id), None)
    if record is None and request.judge_model is None and not draft.evidence:
        return
    if record is None:
        record = await _new_eval(store, task, draft.content, [e.name for e in evals])
        item.is_new_eval = True
        evals.append(record)
    item.eval_record = with_instruction(record, draft.content)
    if request.judge_model is None:
        return
    if not item.is_new_eval and await _has_current_judge(store, record, draft.content):
        return
    judges = [] if item.is_new_eval else await store.children(record, EvalConfig)
    (name,) = distinct_names([f"{record.name} judge"], [judge.name for judge in judges])
    item.judge = await compiled_judge(name, draft.content, request.judge_model)
    item.eval_record = item.eval_record.replace(current_config_id=item.judge.id)


async def compiled_judge(name: str, content: SpecContent, model: str) -> EvalConfig:
    """Return the record of the judge that a spec's content makes."""
    judge = LlmJudgeDefinition(type="llm_judge", steps=list(judge_steps(content)), model=model)
    return await make_evaluator(name, judge, model)


async def _new_eval(
    store: ProjectStore, task: Task, content: SpecContent, used_names: Sequence[str]
) -> Eval:
    (name,) = distinct_names([content.name], used_names)
    score = ScoreDefinition(name=name, instruction=score_instruction(content))
    new_eval = NewEval(scores=(score,))
    outputs = await outputs_to_begin_with(store, task)
    try:
        complete = with_items(name, new_eval, await store.tags(task), outputs)
    except Refusal:  # there is no data yet: its items are those with its tag
        complete = replace(new_eval, test_filter=tag_filter(eval_tag(tag_of(name))))
    return make_eval(name, complete)


def with_instruction(record: Eval, content: SpecContent) -> Eval:
    """Return an eval whose compiled instruction is that of the content; others stay."""
    scores = tuple(
        score.replace(instruction=score_instruction(content))
        if (score.instruction or _OURS).startswith(_OURS)
        else score
        for score in record.output_scores
    )
    return record if scores == record.output_scores else record.replace(output_scores=scores)


async def _has_current_judge(store: ProjectStore, record: Eval, content: SpecContent) -> bool:
    for judge in await store.children(record, EvalConfig):
        if judge.id != record.current_config_id:
            continue
        source = await source_of(store, judge)
        return source is not None and source.content == content_digest(content)
    return False


async def _prepare_runs(
    store: ProjectStore, task: Task, item: PreparedDraft, outcome: SaveOutcome
) -> None:
    """Read the runs that are evidence, and those that the person gave a reason for."""
    ids = set(item.draft.evidence)
    reasons = {
        example.origin.source: example.reason
        for example in item.draft.content.examples
        if example.origin.author == "person" and example.reason
    }
    feedback: list[tuple[TaskRun, str]] = []
    evidence: list[TaskRun] = []
    for id in [*ids, *(id for id in reasons if id not in ids)]:
        if not id.isdecimal():
            continue
        run = await store.find(TaskRun, id, parent=task)
        if id in ids:
            evidence.append(run)
        comments = {entry.feedback for entry in await store.children(run, Feedback)}
        if reasons.get(id) and reasons[id] not in comments:
            feedback.append((run, reasons[id]))
    item.evidence, item.feedback = evidence, feedback
    if evidence and item.eval_record is not None:
        outcome.notes.append(
            f"{len(evidence)} run(s) of evidence are tagged '{MUST_PASS}': `kiln-mcp gate` breaks "
            "at each change of the prompt if one of their inputs fails again."
        )


def _write(
    change: Change, task: Task, session: SpecSession, item: PreparedDraft, request: SaveRequest
) -> Draft:
    """Note all that saving one draft writes; return it as it is then."""
    draft, content = item.draft, item.draft.content
    eval_record = item.eval_record
    if eval_record is not None:
        eval_record = (
            change.save(eval_record, parent=task)
            if item.is_new_eval
            else _changed(change, eval_record)
        )
    spec = _save_spec(change, task, item, eval_record, request)
    append_content(change, spec, content, ContentAuthor(request.author, session.id))
    if item.judge is not None and eval_record is not None:
        judge = change.save(item.judge, parent=eval_record)
        append_source(change, judge, spec, content, request.author)
    for run in item.evidence if eval_record is not None else ():
        tags = [MUST_PASS, *_test_tag(eval_record)] if eval_record else []
        change.retag(TaskRun, run.saved.path, lambda own, tags=tags: (*own, *_new(own, tags)))
    for run, text in item.feedback:
        change.save(Feedback(feedback=text, source="spec-feedback"), parent=run)
    return draft.replace(
        spec_id=spec.id, eval_id=eval_record.id if eval_record else None, is_saved=True
    )


def _changed(change: Change, record: Eval) -> Eval:
    return change.save(record)


def _new(own: Sequence[str], tags: Sequence[str]) -> list[str]:
    return [tag for tag in tags if tag not in own]


def _test_tag(record: Eval) -> list[str]:
    part = record.part("test")
    if isinstance(part, TaskRunSplit) and part.filter_id.startswith(tag_filter("")):
        return [part.filter_id.removeprefix(tag_filter(""))]
    return []


def _save_spec(
    change: Change,
    task: Task,
    item: PreparedDraft,
    eval_record: Eval | None,
    request: SaveRequest,
) -> Spec:
    draft = item.draft
    fields = fields_of_draft(draft)
    values: dict[str, object] = {
        "name": draft.content.name,
        "definition": definition(draft.content.kind, fields),
        "properties": properties_of(draft.content.kind, fields),
        "priority": draft.priority,
        "tags": draft.tags,
    }
    if eval_record is not None:
        values["eval_id"] = eval_record.id
    if item.spec is not None:
        return change.save(item.spec.replace(**values))
    sample = _sample(draft.content)
    if sample is not None:
        values["task_sample"] = sample
    if request.judge_model is not None:
        config = _generation(request.judge_model, draft.content)
        values["synthetic_data_generation_session_config"] = config
    return change.save(Spec.model_validate(values), parent=task)


def _sample(content: SpecContent) -> TaskSample | None:
    examples = sorted(content.examples, key=lambda e: e.verdict is not ExampleVerdict.PASS)
    pair = next((example for example in examples if example.input), None)
    return TaskSample(input=pair.input, output=pair.output) if pair else None


def _generation(model: str, content: SpecContent) -> SyntheticDataConfig:
    """Return the settings for generating data that put a spec to the test."""
    pair = stored_model(model)
    core = content.clauses[0].text if content.clauses else content.name

    def step(prompt: str) -> StepConfig:
        return StepConfig(model_name=pair.name, provider_name=pair.provider, prompt=prompt)

    return SyntheticDataConfig(
        topic_generation_config=step(f"Topics of inputs for which this can go wrong: {core}"),
        input_generation_config=step(f"Realistic inputs for which this can go wrong: {core}"),
        output_generation_config=step(f"Outputs, of which some break this: {core}"),
    )
