"""What a search for a better prompt answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evolution.answers import EvolutionReport, RaceWon
from kiln_mcp.evolution.engine import Result
from kiln_mcp.evolution.held_out import HeldOut
from kiln_mcp.evolution.prompt_texts import thinking_of
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.stop_reasons import stop_sentence
from kiln_mcp.evolution.warnings import search_warnings
from kiln_mcp.evolution.winner import Winner
from kiln_mcp.run_configs.system_prompts import SAVED_PROMPT
from storage.errors import NextStep
from storage.text.excerpts import excerpts

KEEP: Final = "No gain could be shown: keep your prompt."
NOT_CLAIMED: Final = "No gain is claimed: keep your prompt."
"""A score gains, and another one falls or may have fallen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search and its final measurement came to."""

    result: Result
    winner: Winner
    held_out: HeldOut | None
    failures: Mapping[str, int]
    judge_warnings: Sequence[str] = ()
    text_file: str = ""
    """The program's own file that the prompt takes the place of; "" if it has none."""


def answer_of(search_context: SearchContext, outcome: Outcome) -> EvolutionReport:
    """Return the answer of a search."""
    result, held_out, parts = outcome.result, outcome.held_out, search_context.parts
    gain_shown = held_out is not None and held_out.gain_shown
    store, eval_record = search_context.eval_context.store, search_context.eval_context.eval_record
    return EvolutionReport(
        verdict=_verdict(result, held_out, search_context.first.name),
        gain_shown=gain_shown,
        stop_reason=result.stop_reason,
        stop_sentence=stop_sentence(result.stop_reason),
        start=search_context.first.name,
        winner=outcome.winner.config.name if gain_shown else None,
        prompt_id=outcome.winner.prompt.id if gain_shown else None,
        start_prompt=search_context.texts.prompt(search_context.start),
        winner_prompt=search_context.texts.prompt(result.best),
        thinking=thinking_of(result.best) or "",
        tool_texts=dict(outcome.winner.tool_texts),
        demonstrations=len(result.best.demonstrations),
        comparison=held_out.rows if held_out else [],
        held_out_items=len(parts.test),
        validation_items=len(parts.val),
        training_items=len(parts.train),
        races=len(result.decisions),
        race_wins=[
            RaceWon(
                race=number,
                change=decision.lesson or decision.operator.value,
                gain=decision.gain,
                better_on=decision.better_on,
                worse_on=decision.worse_on,
            )
            for number, decision in enumerate(result.decisions, 1)
            if decision.accepted
        ],
        max_calls=search_context.request.max_calls,
        search_calls=result.calls,
        failures_by_reason=dict(outcome.failures),
        warnings=[
            *search_warnings(result, outcome.failures),
            *(held_out.warnings if held_out else []),
            *outcome.judge_warnings,
            *(_of_text_file(outcome.text_file) if gain_shown else []),
            *(_of_tool_texts(outcome.winner.tool_texts) if gain_shown else []),
        ],
        held_out_calls=held_out.calls if held_out else 0,
        noise_calls=held_out.runs.noise_calls if held_out and held_out.runs else 0,
        held_out_runs=held_out.runs.count if held_out and held_out.runs else 0,
        held_out_sight=held_out.runs.says if held_out and held_out.runs else "",
        seed=search_context.request.seed,
        search_log=str(store.side_folder(eval_record) / search_context.file_name),
        next=_next_steps(search_context, outcome, held_out),
    )


def _verdict(result: Result, held_out: HeldOut | None, start: str) -> str:
    if held_out is None:
        return f"{KEEP} Nothing beat {start} in the search{_usual_end(result)}."
    if not held_out.comparisons:
        return f"{KEEP} No held-out item was scored for both {start} and the best prompt."
    if held_out.gain_shown:
        return held_out.says()
    if held_out.gains:
        return f"{NOT_CLAIMED} {held_out.says()}"
    return f"{KEEP} {held_out.says()} {held_out.reach}"


def _of_text_file(path: str) -> list[str]:
    """Return that a program's own file is as it was, and how to take the winner over."""
    if not path:
        return []
    return [f"Your file {path} is unchanged. To use the winner, put winner_prompt into it."]


def _of_tool_texts(texts: Mapping[str, str]) -> list[str]:
    """Return where other texts of tools and skills are kept, and how to take them over."""
    if not texts:
        return []
    return [
        f"The winner has other texts for {excerpts([*texts])}. Its run config keeps them, and the "
        "workbench uses them. Your servers and skills are unchanged: elsewhere, put tool_texts "
        "into them."
    ]


def _usual_end(result: Result) -> str:
    """Return what most of the proposals came to, for the end of a sentence."""
    reasons = Counter(decision.reason for decision in result.decisions)
    if not reasons:
        return ": there was no proposal"
    reason, count = reasons.most_common(1)[0]
    return f": of {reasons.total()} proposals {count} ended with {reason.rstrip('.')!r}"


def _next_steps(
    search_context: SearchContext, outcome: Outcome, held_out: HeldOut | None
) -> list[NextStep]:
    if held_out is not None and held_out.gain_shown:
        prompt = f"{SAVED_PROMPT}{outcome.winner.prompt.id}"
        return [
            NextStep(
                tool="create_run_config",
                reason="use the winner's prompt with another `model`",
                arguments={"prompt_id": prompt},
            )
        ]
    if held_out is not None and held_out.gains:
        names = " and ".join(dict.fromkeys([*held_out.losses, *held_out.open_losses]))
        eval_context = search_context.eval_context
        project = {"project": str(eval_context.store.folder)}
        eval_arguments = {**project, "eval": eval_context.eval_record.name}
        return [
            NextStep(
                tool="show_prompt_search",
                reason=f"see how candidates score in {names}",
                arguments={**eval_arguments},
            ),
            NextStep(
                tool="add_data",
                reason=f"add test items, to tell whether {names} falls",
                arguments={**project},
            ),
            NextStep(
                tool="improve_prompt",
                reason=f"name a floor for {names} that so many test items can show",
                arguments={**eval_arguments, "start": search_context.first.name},
            ),
        ]
    return [
        NextStep(tool="add_data", reason="add items, of which demonstrations are made"),
        NextStep(
            tool="improve_prompt",
            reason="raise max_calls, or name a capable model in reflect_with",
            arguments={
                "eval": search_context.eval_context.eval_record.name,
                "start": search_context.first.name,
            },
        ),
    ]
