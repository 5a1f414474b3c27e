"""Judging one case with any evaluator: a deterministic check, or a model with a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evaluators.checks import Check, Skipped, run_check
from kiln_mcp.evaluators.code import run_scorer
from kiln_mcp.evaluators.errors import UnsupportedEvaluator
from kiln_mcp.evaluators.g_eval import answer_schema, binary_scores, read_scores, weighted_scores
from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.run_configs.errors import ExtractionFailed
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.run_configs.templates import Case, render_template
from kiln_mcp.workbench.prompts import load_prompt
from storage import CodeEval, Eval, EvalConfig, LlmJudge, StepsJudge, Task

TOP_LOGPROBS: Final = 10
LONGEST_VERDICT: Final = 1200
LONGEST_THOUGHT: Final = 900
THINK_FIRST: Final = "Go through the steps now and write down what you find. No verdict yet."
GIVE_VERDICT: Final = "Now give the verdict alone, as JSON."


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict.

    Attributes:
        scores: Values by the eval's score keys.
        reasoning: Why, in the evaluator's words.
        usage: What it took; None where no model was asked.
        latency_s: Seconds of waiting.
    """

    scores: Mapping[str, float]
    reasoning: str = ""
    usage: ModelUsage | None = None
    latency_s: float = 0.0


def judge_model(judge: EvalConfig) -> str | None:
    """Return the model that a judge asks, None for a deterministic check."""
    properties = judge.properties
    if isinstance(properties, LlmJudge):
        return engine_model(StoredModel(properties.model_name, properties.model_provider))
    if isinstance(properties, StepsJudge):
        return engine_model(StoredModel(judge.model_name or "", judge.model_provider or ""))
    return None


def calls_per_item(judge: EvalConfig) -> int:
    """Return how many times a judge asks its model about one item."""
    properties = judge.properties
    if isinstance(properties, StepsJudge):
        return 2 if judge.config_type == "g_eval" else 1
    if isinstance(properties, LlmJudge):
        return 2 if properties.g_eval and properties.thinking_instruction else 1
    return 0


async def judge_case(
    engine: Engine, judge: EvalConfig, measured: Eval, task: Task, case: Case, asker: str
) -> Judged | Skipped:
    """Return an evaluator's verdict on one case.

    Raises:
        UnsupportedEvaluator: This kind does not run here.
        UnusableVerdict: The judge's answer holds no score.
        UnusableTemplate: The judge's own template or pattern is not valid.
        ModelError: The judge's model gave no usable answer.
    """
    properties = judge.properties
    if isinstance(properties, CodeEval):
        if properties.code is None:
            raise UnsupportedEvaluator(judge.name, properties.type)
        scores = await run_scorer(properties, properties.code, measured, case)
        return scores if isinstance(scores, Skipped) else Judged(scores)
    if isinstance(properties, LlmJudge | StepsJudge):
        missing = _missing_reference(properties, case)
        if missing:
            return missing
        try:
            prompt = await _prompt(properties, task, case)
        except ExtractionFailed as failure:
            return Skipped("extraction_failed", str(failure))
        return await _ask(engine, judge, measured, prompt, asker)
    return await _checked(properties, measured, case)


async def _checked(properties: Check, measured: Eval, case: Case) -> Judged | Skipped:
    checked = await run_check(properties, case)
    if isinstance(checked, Skipped):
        return checked
    return Judged(binary_scores(measured.output_scores, passed=checked.passed), checked.detail)


def _missing_reference(properties: LlmJudge | StepsJudge, case: Case) -> Skipped | None:
    keys = properties.reference_keys if isinstance(properties, LlmJudge) else ()
    for key in keys:
        if (case.reference or {}).get(key) is None:
            return Skipped("missing_reference_key", f"The item has no reference {key!r}.")
    return None


async def _prompt(properties: LlmJudge | StepsJudge, task: Task, case: Case) -> tuple[Message, ...]:
    if isinstance(properties, LlmJudge):
        system = properties.system_prompt or load_prompt("evaluators", "judge_system").render(
            task_instruction=task.instruction
        )
        steps = numbered(properties.judge_instructions or ())
        text = await render_template(properties.prompt_template, case, steps)
        return (Message("system", system), Message("user", text))
    parts = load_prompt("evaluators", "steps_judge").messages(
        task_description=properties.task_description or task.instruction,
        task_input=case.task_input,
        model_response=case.final_message,
        steps=numbered(properties.eval_steps),
    )
    return tuple(Message(part.role, part.content) for part in parts)


def numbered(steps: Sequence[str]) -> str:
    """Return steps as a numbered list."""
    return "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))


async def _ask(
    engine: Engine, judge: EvalConfig, measured: Eval, prompt: tuple[Message, ...], asker: str
) -> Judged:
    weighted, thinking = _way(judge)
    scores = measured.output_scores
    request = ModelRequest(
        model=judge_model(judge) or "", messages=prompt, max_tokens=LONGEST_VERDICT
    )
    thought, usage, latency = "", ModelUsage(calls=0), 0.0
    if thinking:
        asked = request.with_messages(Message("user", thinking))
        first = await engine.complete(replace(asked, max_tokens=LONGEST_THOUGHT), asker=asker)
        thought, usage, latency = first.text, first.usage, first.latency_s
        request = asked.with_messages(
            Message("assistant", first.text), Message("user", GIVE_VERDICT)
        )
    request = replace(
        request,
        schema=answer_schema(scores, reasoning=not weighted),
        top_logprobs=TOP_LOGPROBS if weighted else 0,
    )
    answer = await engine.complete(request, asker=asker)
    values = (
        weighted_scores(answer.logprobs, scores) if weighted else read_scores(answer.value, scores)
    )
    said = answer.value.get("reasoning") if isinstance(answer.value, dict) else None
    return Judged(
        scores=values,
        reasoning=thought or str(said or answer.reasoning),
        usage=usage + answer.usage,
        latency_s=latency + answer.latency_s,
    )


def _way(judge: EvalConfig) -> tuple[bool, str | None]:
    """Return whether scores are weighted by logprobs, and what to think about before."""
    properties = judge.properties
    if isinstance(properties, LlmJudge):
        return properties.g_eval, properties.thinking_instruction if properties.g_eval else None
    weighted = judge.config_type == "g_eval"
    return weighted, THINK_FIRST if weighted else None
