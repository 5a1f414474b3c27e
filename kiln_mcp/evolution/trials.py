"""Run candidates on items: what the search and the reflecting model see of an eval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from kiln_mcp.evals.eval_items import Item, case_of, produce_output
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.evaluator import Evaluation as Verdict
from kiln_mcp.evaluators.evaluator import EvaluationContext, Skipped
from kiln_mcp.evaluators.references import REFERENCE_KEY, with_others_in_words
from kiln_mcp.evaluators.scales import to_unit_scale
from kiln_mcp.evolution.engine import Candidate, Evaluation
from kiln_mcp.evolution.engine import Item as EngineItem
from kiln_mcp.evolution.prompt_texts import PromptTexts
from kiln_mcp.llm import CallCounter, Engine
from kiln_mcp.llm.errors import BadAnswer, ContextOverflow
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, to_task_run
from storage import TaskRunConfig


def engine_items(items: Sequence[Item]) -> list[EngineItem]:
    """Return items of an eval as the engine takes them."""
    return [EngineItem(item.id, item, item.task_input, _right_output(item)) for item in items]


@dataclass(frozen=True)
class Trials:
    """Runs candidates on items of an eval and judges the outputs; saves nothing.

    Attributes:
        engine: Asks models.
        eval_context: The eval with its evaluator.
        run_config: The run config whose prompt is searched for.
        resolved_config: The same, resolved.
        texts: The examples of candidates.
    """

    engine: Engine
    eval_context: Measurement
    run_config: TaskRunConfig
    resolved_config: ResolvedRunConfig
    texts: PromptTexts

    @property
    def calls_each(self) -> int:
        """Model calls that one item takes, its judge included."""
        return self.resolved_config.calls_per_output + self.eval_context.evaluator.calls_per_item

    @property
    def models(self) -> list[str]:
        """The models that are asked."""
        judge = self.eval_context.evaluator.model
        return [self.resolved_config.model, *([judge] if judge else [])]

    async def run(
        self,
        candidate: Candidate,
        entry: EngineItem,
        verdict_number: int | None = None,
        purpose: str = "",
    ) -> Evaluation:
        """Run a candidate on one item; an output that cannot be had or judged has no score.

        Args:
            candidate: The candidate.
            entry: The item; its repeat says which of several outputs is made.
            verdict_number: Which verdict of the output; None for a new one with each repeat.
            purpose: What it is run for beside the search; calls of another purpose are free for it.

        Raises:
            ModelError: One that no other candidate would avoid: a server is down, …
        """
        item = cast("Item", entry.value)
        resolved_config = self.texts.with_candidate(self.resolved_config, candidate)
        if entry.repeat:
            resolved_config = replace(resolved_config, sample=entry.repeat)
        eval_context, counter = self.eval_context, CallCounter()
        number = entry.repeat if verdict_number is None else verdict_number
        # A name of its own: an answer that another trial paid for is free for this one.
        trial = f"{purpose}{candidate.id} {item.id} {entry.repeat}.{number}"
        engine = self.engine.with_counter(counter)
        context = EvaluationContext(
            engine,
            eval_context.eval_record,
            eval_context.task,
            f"evolution/judge {trial}",
            number,
        )
        try:
            output = await produce_output(engine, resolved_config, item, f"evolution/run {trial}")
            run = to_task_run(output, item.task_input, self.run_config, resolved_config)
            verdict = await eval_context.evaluator.evaluate(case_of(item, run), context)
        except (BadAnswer, ContextOverflow, EvalError, ProgramFailure) as error:
            return Evaluation({}, str(error), failure=_reason_of(error), paid_calls=counter.calls)
        if isinstance(verdict, Skipped):
            detail = verdict.detail or verdict.reason
            return Evaluation(
                {}, detail, output.output, failure=verdict.reason, paid_calls=counter.calls
            )
        kinds = {score.json_key: score.type for score in eval_context.eval_record.output_scores}
        scores = {key: to_unit_scale(value, kinds[key]) for key, value in verdict.values.items()}
        return Evaluation(
            scores,
            _feedback_of(verdict, scores),
            output.output,
            cost_usd=output.usage.cost_usd or 0.0,
            seconds=round(output.latency_s, 3),
            paid_calls=counter.calls,
        )


def _feedback_of(verdict: Verdict, scores: Mapping[str, float]) -> str | dict[str, str]:
    """Return the reasons by score, if each score below the best has its own."""
    reasons = {key: score.feedback for key, score in verdict.scores.items() if scores[key] < 1}
    return reasons if reasons and all(reasons.values()) else verdict.verdict


def _right_output(item: Item) -> str:
    references = with_others_in_words(item.reference) or {}
    return str(references.get(REFERENCE_KEY, ""))


def _reason_of(error: BadAnswer | ContextOverflow | EvalError | ProgramFailure) -> str:
    match error:
        case BadAnswer():
            return error.state
        case ContextOverflow():
            return "too_long"
        case ProgramFailure():
            return "program"
        case _:
            return "evaluator"
