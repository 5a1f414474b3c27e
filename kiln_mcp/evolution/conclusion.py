"""The end of a search: its best prompt is measured, saved if it is shown to be better, reported."""

from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.engine import Result
from kiln_mcp.evolution.final_measurement import measure
from kiln_mcp.evolution.held_out import HeldOut
from kiln_mcp.evolution.held_out_runs import plan_runs
from kiln_mcp.evolution.live_decisions import LiveDecisions, standing_event
from kiln_mcp.evolution.outcomes import Outcome, answer_of
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog
from kiln_mcp.evolution.warnings import judge_warnings
from kiln_mcp.evolution.winner import make_winner, save_winner
from kiln_mcp.programs.program import own_text_file
from kiln_mcp.programs.program_files import read_program


async def conclude(
    search_context: SearchContext, result: Result, log: ResumableLog, live: LiveDecisions
) -> EvolutionReport:
    """Measure what a search has found on held-out items, and save what is shown to be better.

    Raises:
        ModelError: One that ends the measurement; what was answered is in the log.
    """
    winner = make_winner(search_context, result.best)
    held_out: HeldOut | None = None
    if result.best.id != search_context.start.id:
        runs = await plan_runs(search_context, result, log)
        held_out = await measure(search_context, result.best, winner.config, runs, log)
        if held_out.gain_shown:
            await save_winner(search_context, winner, runs.repeats)
    failures = log.failures(search_context.label)
    about_judge = await judge_warnings(
        search_context.eval_context, held_out, search_context.workspace.settings.home
    )
    program = await read_program(search_context.eval_context.store, search_context.first)
    text_file = own_text_file(program) if program else ""
    outcome = Outcome(result, winner, held_out, failures, about_judge, text_file)
    answer = answer_of(search_context, outcome)
    lines = [standing_event(standing) for standing in result.standings]
    if held_out is not None and held_out.runs is not None:
        lines.append(
            {
                "event": "held_out",
                "samples": held_out.runs.samples,
                "noise": held_out.runs.noise,
                "use": held_out.use.number,
            }
        )
    await live.write(*lines, {"event": "result", **answer.model_dump(mode="json")})
    return answer
