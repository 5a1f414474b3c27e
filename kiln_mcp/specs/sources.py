"""What specs are drafted from besides a wish: runs, evals with their judges, and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets.rating_criteria import overall_rating
from kiln_mcp.spec_texts.content_fields import content_from, next_id
from kiln_mcp.spec_texts.sentences import sentences
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, Origin, SpecContent, SpecExample
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from kiln_mcp.specs.complaints import is_demand
from kiln_mcp.specs.drafts import LONGEST_NAME, acceptable
from storage import Eval, EvalConfig, LlmJudge, ProjectStore, StepsJudge, Task, TaskRun
from storage.errors import InvalidValue, NextStep, RecordNotFound
from storage.records.run import Feedback
from storage.text.excerpts import excerpt
from storage.text.kind_words import split_handle

_KINDS_BY_TEMPLATE: Final[Mapping[str, SpecKind]] = {
    "kiln_issue": SpecKind.ISSUE,
    "desired_behaviour": SpecKind.DESIRED_BEHAVIOUR,
    "tool_call": SpecKind.APPROPRIATE_TOOL_USE,
    "toxicity": SpecKind.TOXICITY,
    "bias": SpecKind.BIAS,
    "maliciousness": SpecKind.MALICIOUSNESS,
    "factual_correctness": SpecKind.FACTUAL_CORRECTNESS,
    "jailbreak": SpecKind.JAILBREAK,
    "rag": SpecKind.REFERENCE_ANSWER_ACCURACY,
}
"""The kind of spec for each template of Kiln's evals."""
_FEWEST_WORDS: Final = 4
"""A text with fewer words is taken for the name of a record."""


@dataclass(frozen=True, slots=True)
class RunEvidence:
    """A run that shows what a spec is about.

    Attributes:
        verdict: Whether its output is good: as it is rated, else it fails.
        comments: What people said of it.
    """

    run: TaskRun
    verdict: ExampleVerdict
    comments: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a call names as sources.

    Attributes:
        runs: Runs, with their verdicts.
        drafts: Specs that follow from evals by rules.
        texts: Policies and other texts.
    """

    runs: Sequence[RunEvidence] = ()
    drafts: Sequence[Draft] = ()
    texts: Sequence[str] = ()

    @property
    def say_something(self) -> bool:
        """Whether they tell what is wanted, or wrong."""
        return bool(self.wish.strip() or self.drafts or self.texts)

    @property
    def material(self) -> str:
        """All of it in words, for a model."""
        parts = [
            f"A run that {'passes' if item.verdict is ExampleVerdict.PASS else 'fails'}:\n"
            f"input: {item.run.input}\noutput: {item.run.output.output}\n"
            + "\n".join(f"comment: {comment}" for comment in item.comments)
            for item in self.runs
        ]
        for draft in self.drafts:
            clauses = "\n".join(f"- {clause.text}" for clause in draft.content.clauses)
            parts.append(f"An eval '{draft.content.name}', {draft.content.kind}:\n{clauses}")
        return "\n\n".join([*parts, *self.texts])

    @property
    def wish(self) -> str:
        """What the sources themselves ask for, in words that rules can draft from."""
        comments = [comment for item in self.runs for comment in item.comments]
        demands = [
            sentence for text in self.texts for sentence in sentences(text) if is_demand(sentence)
        ]
        return " ".join([*comments, *demands])


async def read_sources(store: ProjectStore, task: Task, references: Sequence[str]) -> Sources:
    """Return the runs, evals and texts that a call names.

    Args:
        store: The project.
        task: The task.
        references: Handles or ids of runs, evals and judges, or texts of several words.

    Raises:
        InvalidValue: A word names no run, eval or judge.
    """
    runs: list[RunEvidence] = []
    drafts: list[Draft] = []
    texts: list[str] = []
    for reference in references:
        record = await _record(store, task, reference)
        if isinstance(record, TaskRun):
            runs.append(await _evidence(store, record))
        elif isinstance(record, Eval):
            id = next_id("d", [draft.id for draft in drafts])
            drafts.append(await _draft_of_eval(store, record, id))
        elif record is None:
            texts.append(reference)
    return Sources(runs, drafts, texts)


async def _record(store: ProjectStore, task: Task, reference: str) -> TaskRun | Eval | None:
    """Return the record that a source names; None if it is a text."""
    kind, _ = split_handle(reference)
    if not kind and len(reference.split()) >= _FEWEST_WORDS:
        return None
    try:
        if kind in {"", "task_run"}:
            return await store.find(TaskRun, reference, parent=task)
    except RecordNotFound:
        if kind:
            raise
    try:
        if kind in {"", "eval"}:
            return await store.find(Eval, reference, parent=task)
        if kind == "eval_config":
            return await _eval_of_judge(store, task, reference)
    except RecordNotFound:
        if kind:
            raise
    raise InvalidValue(
        "The source '{reference}' is no run, eval or judge of '{task}'. Give its id or handle, "
        "such as run/123456789012 or eval/refunds, or a text of {count} words or more.",
        reference=excerpt(reference),
        task=task.name,
        count=_FEWEST_WORDS,
        next=[NextStep(tool="find", reason="see the runs and evals")],
    )


async def _eval_of_judge(store: ProjectStore, task: Task, reference: str) -> Eval:
    """Return the eval of a judge, with that judge as the current one."""
    judge = await store.find(EvalConfig, reference)
    for eval_record in await store.children(task, Eval):
        if judge.id in {child.id for child in await store.children(eval_record, EvalConfig)}:
            return eval_record.replace(current_config_id=judge.id)
    raise RecordNotFound("eval_config", reference)


async def _evidence(store: ProjectStore, run: TaskRun) -> RunEvidence:
    stars = overall_rating(run)
    ratings = run.output.rating.requirement_ratings.values() if run.output.rating else ()
    is_good = (isinstance(stars, float) and stars >= 4) or stars == "pass"
    is_bad = any(rating.value <= 0 for rating in ratings if rating.type != "five_star")
    verdict = ExampleVerdict.PASS if is_good and not is_bad else ExampleVerdict.FAIL
    comments = [item.feedback for item in await store.children(run, Feedback)]
    return RunEvidence(run, verdict, comments)


async def _draft_of_eval(store: ProjectStore, eval_record: Eval, id: str) -> Draft:
    """Return the spec that an eval, and its current judge, measure already."""
    kind = _KINDS_BY_TEMPLATE.get(eval_record.template or "", SpecKind.DESIRED_BEHAVIOUR)
    form = FORMS[kind]
    values = {key: str(value) for key, value in (eval_record.template_properties or {}).items()}
    fields: dict[str, str] = {}
    if kind is SpecKind.ISSUE and values.get("issue_prompt"):
        fields = {
            form.core: values["issue_prompt"],
            "issue_examples": values.get("failure_example", ""),
            "non_issue_examples": values.get("pass_example", ""),
        }
    elif kind is SpecKind.APPROPRIATE_TOOL_USE:
        fields = {
            form.detail: values.get("appropriate_tool_use_guidelines", ""),
            "inappropriate_tool_use_examples": values.get("inappropriate_tool_use_guidelines", ""),
        }
    steps = await _steps(store, eval_record)
    texts = [fields.get(form.core, ""), fields.get(form.detail, ""), *steps]
    rubric = [score.instruction for score in eval_record.output_scores if score.instruction]
    demands = [text for text in [*texts, *([] if any(texts) else rubric)] if text]
    fields[form.core] = "\n".join(f"- {line}" for text in demands for line in sentences(text))
    if form.detail != form.core:
        fields[form.detail] = fields[form.core]
    name = acceptable(eval_record.name[:LONGEST_NAME]) or "Spec of an eval"
    content = content_from(kind, name, fields)
    if not content.clauses:
        raise InvalidValue(
            "The eval '{name}' says nothing that a spec could be drafted from: it has no judge and "
            "no instruction. Say as `wish` what it is to measure.",
            name=eval_record.name,
        )
    tools: dict[str, JsonValue] = {"tool_id": values.get("tool"), "tool_function_name": None}
    tools["tool_function_name"] = values.get("tool_function_name")
    return Draft(
        id=id,
        content=_with_origin(content, eval_record.id),
        other_fields={
            key: str(value) for key, value in tools.items() if value and key in form.fields
        },
        eval_id=eval_record.id,
    )


async def _steps(store: ProjectStore, eval_record: Eval) -> list[str]:
    """Return what the current judge of an eval checks."""
    judges = await store.children(eval_record, EvalConfig)
    judge = next(
        (judge for judge in judges if judge.id == eval_record.current_config_id),
        judges[0] if judges else None,
    )
    match judge.properties if judge else None:
        case LlmJudge(judge_instructions=steps):
            return list(steps or ())
        case StepsJudge(eval_steps=steps):
            return list(steps)
        case _:
            return []


def _with_origin(content: SpecContent, source: str) -> SpecContent:
    origin = Origin("file", source)
    return replace(
        content,
        clauses=tuple(replace(clause, origin=origin) for clause in content.clauses),
        examples=tuple(replace(example, origin=origin) for example in content.examples),
    )


def with_evidence(draft: Draft, runs: Sequence[RunEvidence]) -> Draft:
    """Return a draft with runs as examples; the failing ones are its evidence."""
    examples = list(draft.content.examples)
    for item in runs:
        examples.append(_example(item, [example.id for example in examples]))
    content = replace(draft.content, examples=tuple(examples))
    failures = tuple(item.run.id for item in runs if item.verdict is ExampleVerdict.FAIL)
    return draft.replace(content=content, evidence=(*draft.evidence, *failures))


def _example(item: RunEvidence, ids: Sequence[str]) -> SpecExample:
    return SpecExample(
        next_id("e", ids),
        item.run.output.output,
        item.verdict,
        Origin("person", item.run.id),
        item.run.input,
        "",
        " ".join(item.comments),
    )
