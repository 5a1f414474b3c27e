"""Versions of a judge: other steps, and examples of a person's verdicts in its template."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evaluators.model_verdicts import THINK_FIRST
from kiln_mcp.workbench.prompt_templates import fence, load_prompt
from storage import EvalConfig, LlmJudge, StepsJudge
from storage.text.excerpts import excerpt

LONGEST_EXAMPLE: Final = 1500
"""The most characters of an input or a response that an example shows."""
_TAGS: Final = frozenset(
    {"task_input", "reference_answer", "model_response", "steps", "example-verdicts"}
)
"""Tags of judges' templates, which the text of an example cannot write."""
_BEGIN: Final = "{% raw %}"
_END: Final = "{% endraw %}\n\n"
_END_MARK: Final = re.compile(r"\{%(?=[-+]?\s*endraw)")


@dataclass(frozen=True, slots=True)
class JudgeExample:
    """A response with a person's verdict, shown to a judge.

    Attributes:
        item: The item's id.
        task_input: Its input.
        response: Its output.
        verdicts: The words of the person's labels by score key.
        reason: The person's reason; "" if none was given.
    """

    item: str
    task_input: str
    response: str
    verdicts: Mapping[str, str]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JudgeVersion:
    """A judge's steps and the examples that it is shown."""

    steps: tuple[str, ...]
    examples: tuple[JudgeExample, ...] = ()


def template_judge(record: EvalConfig) -> LlmJudge | None:
    """Return a judge's settings in the newer form; None if the evaluator is no judge."""
    properties = record.properties
    if isinstance(properties, LlmJudge):
        return properties
    if not isinstance(properties, StepsJudge):
        return None
    is_weighted = record.config_type == "g_eval"
    description = properties.task_description
    system = load_prompt("evaluators", "judge_system")
    return LlmJudge(
        model_name=record.model_name or "",
        model_provider=record.model_provider or "",
        system_prompt=system.render(task_instruction=description) if description else None,
        prompt_template=load_prompt("evaluators", "llm_judge").text,
        judge_instructions=properties.eval_steps,
        g_eval=is_weighted,
        thinking_instruction=THINK_FIRST if is_weighted else None,
    )


def version_of(record: EvalConfig) -> JudgeVersion | None:
    """Return the steps of a judge; its whole template if it has none; None if it is no judge."""
    settings = template_judge(record)
    if settings is None:
        return None
    return JudgeVersion(settings.judge_instructions or (settings.prompt_template,))


def with_version(record: EvalConfig, version: JudgeVersion, name: str, id: str) -> EvalConfig:
    """Return a new record of a judge with other steps and examples; all else is as it was.

    Raises:
        ValueError: The evaluator is no judge.
    """
    settings = template_judge(record)
    if settings is None:
        raise ValueError(f"{record.name!r} is no judge.")
    template = settings.prompt_template
    if template.startswith(_BEGIN) and _END in template:
        template = template.partition(_END)[2]
    if "judge_instructions" not in template:
        kind = "llm_judge_reference" if settings.reference_keys else "llm_judge"
        template = load_prompt("evaluators", kind).text
    properties = settings.replace(
        judge_instructions=version.steps,
        prompt_template=f"{_examples_text(version.examples)}{template}",
        panel_of=None,
    )
    return EvalConfig(id=id, name=name, config_type="v2", properties=properties)


def _examples_text(examples: Sequence[JudgeExample]) -> str:
    """Return examples as the beginning of a template, which shows them as they are."""
    if not examples:
        return ""
    example_texts = "\n\n".join(
        fence("example", _example_text(example), _TAGS) for example in examples
    )
    text = load_prompt("judging", "example_verdicts").render(example_verdicts=example_texts)
    return f"{_BEGIN}{_END_MARK.sub('{ %', text.strip())}{_END}"


def _example_text(example: JudgeExample) -> str:
    verdicts = ", ".join(f"{key}: {word}" for key, word in example.verdicts.items())
    lines = [
        f"Input:\n{excerpt(example.task_input, LONGEST_EXAMPLE)}",
        f"Response:\n{excerpt(example.response, LONGEST_EXAMPLE)}",
        f"Verdict: {verdicts}",
    ]
    if example.reason:
        lines.append(f"Reason: {excerpt(example.reason, LONGEST_EXAMPLE)}")
    return "\n".join(lines)
