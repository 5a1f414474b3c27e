"""One verdict of a judging model: its calls, its answer's schema, and the scores in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kiln_mcp.evaluators.evaluator import (
    CANNOT_BE_JUDGED,
    Evaluation,
    EvaluationContext,
    Skipped,
    as_scores,
)
from kiln_mcp.evaluators.scales import abstains, answer_schema, read_scores, weighted_scores
from kiln_mcp.llm import AnswerState, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm import Usage as ModelUsage
from kiln_mcp.llm.errors import NoLogprobs
from kiln_mcp.llm.reasoning_models import reasons
from kiln_mcp.run_configs.errors import EvalError
from storage import EvalOutputScore
from storage.isolation.fixed_schema import FixedSchema
from storage.text.excerpts import excerpt

TOP_LOGPROBS: Final = 10
LONGEST_VERDICT: Final = 1200
LONGEST_THOUGHT: Final = 900
LONGEST_WITH_REASONING: Final = 8192
"""Of models that reason before they answer, whose reasoning counts."""
USABLE_THOUGHT: Final[tuple[AnswerState, ...]] = ("complete", "truncated")
"""The states of thoughts before a verdict; the verdict itself must be complete."""
THINK_FIRST: Final = "Go through the steps now and write down what you find. No verdict yet."
NO_REASON: Final = "The judge says that the output cannot be judged from what is shown."
GIVE_VERDICT: Final = "Now give the verdict alone, as JSON."


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """How a judge asks its model.

    Attributes:
        name: The engine's name of the model.
        is_weighted: Whether scores are weighted by the model's own probabilities (G-Eval).
        thinking: What to think about in a call of its own before the verdict; None for one call.
        max_tokens: The longest answer, reasoning included; None for what its model usually needs.
    """

    name: str
    is_weighted: bool
    thinking: str | None
    max_tokens: int | None = None

    def longest(self, usual: int) -> int:
        """Return the longest answer to ask for; `usual` is enough without reasoning."""
        if self.max_tokens is not None:
            return self.max_tokens
        return LONGEST_WITH_REASONING if reasons(self.name) else usual

    @property
    def calls_per_item(self) -> int:
        """Return the model calls for one item."""
        return 2 if self.thinking else 1


async def ask_verdict(
    judge: JudgeModel, prompt: tuple[Message, ...], context: EvaluationContext
) -> Evaluation | Skipped:
    """Ask a judge's model for a verdict; it may abstain.

    Raises:
        EvalError: The answer holds no score.
        ModelError: The model gave no usable answer.
    """
    engine, asker = context.engine, context.asker
    request = _request(judge, prompt, context)
    reflection = None
    if judge.thinking:
        request = request.with_messages(Message("user", judge.thinking))
        reflection = await engine.complete(
            replace(request, max_tokens=judge.longest(LONGEST_THOUGHT)),
            asker=asker,
            accept=USABLE_THOUGHT,
        )
        request = request.with_messages(
            Message("assistant", reflection.text), Message("user", GIVE_VERDICT)
        )
    return _verdict_in(await _answer(judge, request, context), judge, context, reflection)


async def known_verdicts(
    judge: JudgeModel, prompts: Sequence[tuple[Message, ...]], context: EvaluationContext
) -> list[Evaluation | Skipped | None]:
    """Return the verdicts whose answers are in the response cache; None for the others.

    `ask_verdict` gives the same ones. Here one question to the response cache serves them all.

    Raises:
        ModelError: The model cannot be asked, or the response cache cannot be read.
    """
    if judge.thinking or judge.is_weighted:
        return [None] * len(prompts)
    schema = _schema_of(context.eval_record.output_scores, reasoning=True)
    requests = [_request(judge, prompt, context, schema) for prompt in prompts]
    answers = await context.engine.known_answers(requests, asker=context.asker)
    verdicts: list[Evaluation | Skipped | None] = []
    for answer in answers:
        try:
            verdicts.append(None if answer is None else _verdict_in(answer, judge, context))
        except EvalError:  # `ask_verdict` says why
            verdicts.append(None)
    return verdicts


def _request(
    judge: JudgeModel,
    prompt: tuple[Message, ...],
    context: EvaluationContext,
    schema: FixedSchema | None = None,
) -> ModelRequest:
    return ModelRequest(
        model=judge.name,
        messages=prompt,
        max_tokens=judge.longest(LONGEST_VERDICT),
        sample=context.verdict_number,
        schema=schema,
    )


def _verdict_in(
    answer: ModelAnswer,
    judge: JudgeModel,
    context: EvaluationContext,
    reflection: ModelAnswer | None = None,
) -> Evaluation | Skipped:
    """Return the verdict in an answer, with the call for thoughts before it.

    Raises:
        EvalError: It holds no score.
    """
    scores = context.eval_record.output_scores
    reasoning = answer.value.get("reasoning") if isinstance(answer.value, dict) else None
    verdict = (reflection.text if reflection else "") or str(reasoning or answer.reasoning)
    if abstains(answer.value, scores):
        return Skipped(CANNOT_BE_JUDGED, excerpt(verdict) or NO_REASON)
    is_plain = not answer.logprobs
    values = (
        weighted_scores(answer.logprobs, scores)
        if judge.is_weighted and not is_plain
        else read_scores(answer.value, scores)
    )
    return Evaluation(
        scores=as_scores(values),
        verdict=verdict,
        usage=(reflection.usage if reflection else ModelUsage(calls=0)) + answer.usage,
        latency_s=(reflection.latency_s if reflection else 0.0) + answer.latency_s,
        judge_client=answer.client,
        is_plain=judge.is_weighted and is_plain,
    )


async def _answer(
    judge: JudgeModel, request: ModelRequest, context: EvaluationContext
) -> ModelAnswer:
    """Ask for the verdict itself; a model without logprobs is asked for a plain one."""
    scores = context.eval_record.output_scores
    plain_request = replace(
        request, schema=_schema_of(scores, reasoning=not (judge.is_weighted and judge.thinking))
    )
    if not judge.is_weighted:
        return await context.engine.complete(plain_request, asker=context.asker)
    weighted_request = replace(
        request, schema=_schema_of(scores, reasoning=False), top_logprobs=TOP_LOGPROBS
    )
    try:
        return await context.engine.complete(weighted_request, asker=context.asker)
    except NoLogprobs:
        return await context.engine.complete(plain_request, asker=context.asker)


@lru_cache(maxsize=64)
def _schema_of(scores: tuple[EvalOutputScore, ...], *, reasoning: bool) -> FixedSchema:
    """Return the schema of a judge's answer, made once for an eval."""
    return answer_schema(scores, reasoning=reasoning)


def numbered_list(steps: Sequence[str]) -> str:
    """Return steps as a numbered list."""
    return "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))
