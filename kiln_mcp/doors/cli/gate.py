"""The command that says in a pipeline whether a run config may be released.

It reads stored results: it needs no server, no key, no daemon and no home.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio
import click

from kiln_mcp.doors.cli.current_project import project_around
from kiln_mcp.doors.cli.failures import FAILED, USAGE
from kiln_mcp.workbench.answer_text import for_terminal

if TYPE_CHECKING:
    from kiln_mcp.evals.gate.anchors import DriftRequest
    from kiln_mcp.evals.gate.gate_report import GateReport, GateRequest

CannotTellAs = Literal["fail", "pass"]
CANNOT_TELL: Final = USAGE
"""The exit code of a gate that cannot tell, and of a call that cannot be made."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """The options of the command.

    Attributes:
        evals: Names of evals; empty for all.
        project: A folder of the project.
        run_config: What is gated.
        evaluator: Of each eval.
        at_least: Thresholds.
        no_worse: Points that a score may lose against the baseline.
        must_pass: The tag of items of which every one must pass.
        critical: Scores and evaluators of which one failure fails the gate.
        cannot_tell: What counts for a gate that cannot tell; None for an exit code of its own.
        junit: A file for JUnit XML.
        markdown: A file for Markdown.
        summary: Whether GitHub's summary of the workflow gets the Markdown, too.
        as_json: Whether the terminal gets JSON.
        pin: Whether the run config is pinned, and nothing checked.
        run: Whether models are asked for missing results first.
        most_usd: The most that may be spent.
        most_calls: The most calls of models.
        drift: Whether drift is looked for.
        since: What was scored before is old.
        anchor: The tag of the items that drift is measured on.
    """

    evals: Sequence[str]
    project: Path | None
    run_config: str | None
    evaluator: str | None
    at_least: Sequence[str]
    no_worse: float | None
    must_pass: str
    critical: Sequence[str]
    cannot_tell: CannotTellAs | None
    junit: Path | None
    markdown: Path | None
    summary: bool
    as_json: bool
    pin: bool
    run: bool
    most_usd: float | None
    most_calls: int | None
    drift: bool
    since: datetime | None
    anchor: str


_File = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("evals", nargs=-1)
@click.option("--project", type=click.Path(path_type=Path), help="Its folder; or run it in one.")
@click.option("--run-config", help="What is gated; left out: the task's default one.")
@click.option("--evaluator", help="Of each eval; left out: the current one.")
@click.option(
    "--at-least",
    multiple=True,
    metavar="SCORE=NUMBER",
    help="What the lower limit of a score's mean must reach: correct=0.9. May be repeated.",
)
@click.option(
    "--no-worse",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="Points that a score may lose against the pinned baseline; 5 if one is pinned.",
)
@click.option(
    "--must-pass",
    default="must-pass",
    show_default=True,
    metavar="TAG",
    help="The tag of items of which every one must pass.",
)
@click.option(
    "--critical",
    multiple=True,
    metavar="NAME",
    help="A score or an evaluator of which one failure fails the gate. May be repeated.",
)
@click.option(
    "--cannot-tell",
    type=click.Choice(["fail", "pass"]),
    help="End as failed or as passed where the results do not decide; left out: with exit code 2.",
)
@click.option("--junit", type=_File, help="Write JUnit XML into this file.")
@click.option("--markdown", type=_File, help="Write a Markdown summary into this file.")
@click.option("--summary", is_flag=True, help="Add it to GitHub's summary of the workflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--run", is_flag=True, help="First ask models for the results that are missing.")
@click.option("--most-usd", type=click.FloatRange(min=0), help="With --run: US dollars at most.")
@click.option("--most-calls", type=click.IntRange(min=1), help="With --run: calls at most.")
@click.option(
    "--drift",
    is_flag=True,
    help="Also say whether the judge or the feature moved; --run makes the new results for it.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="With --drift: what was scored before is old; left out: before the pin.",
)
@click.option(
    "--anchor",
    default="anchor",
    show_default=True,
    metavar="TAG",
    help="With --drift: the tag of its items; all items if none has it.",
)
@click.option("--pin", is_flag=True, help="Pin the run config as the baseline, and check nothing.")
def gate(**values: Any) -> None:
    """Say whether a run config may be released: exit code 0 pass, 1 fail, 2 cannot tell.

    EVALS are names of evals; left out: all. Stored results are read, so it needs no key and no
    server. An error ends with exit code 2, too.
    """
    from kiln_mcp.doors.cli.gate_outputs import (
        add_to_summary,
        check_files,
        print_report,
        write_files,
    )
    from kiln_mcp.doors.cli.next_steps import error_text
    from storage.errors import WorkbenchError

    started = time.monotonic()
    options = GateOptions(**values)
    try:
        request, folder = _request(options), _folder(options.project)
        if options.pin:
            for line in anyio.run(_pin, folder, request):
                click.echo(for_terminal(line))
            return
        check_files(options.junit, options.markdown, summary=options.summary)
        report = anyio.run(_gate, folder, request, options)
        write_files(report, options.junit, options.markdown, time.monotonic() - started)
        if options.summary:
            add_to_summary(report)
        print_report(report, as_json=options.as_json)
    except (WorkbenchError, OSError) as error:
        text = error_text(error) if isinstance(error, WorkbenchError) else str(error)
        click.echo(f"kiln-mcp: {for_terminal(text)}", err=True)
        sys.exit(CANNOT_TELL)
    sys.exit(exit_code(report.outcome.value, options.cannot_tell))


def exit_code(outcome: str, cannot_tell: CannotTellAs | None) -> int:
    """Return the exit code of an outcome: 0 pass, 1 fail, 2 cannot tell unless it is chosen."""
    codes = {None: CANNOT_TELL, "fail": FAILED, "pass": 0}
    return {"pass": 0, "fail": FAILED}.get(outcome, codes[cannot_tell])


def _request(options: GateOptions) -> "GateRequest":
    from kiln_mcp.evals.gate.gate_report import GateRequest
    from kiln_mcp.evals.gate.rules import GateRules, read_threshold

    rules = GateRules(
        at_least=dict(map(read_threshold, options.at_least)),
        most_loss=options.no_worse,
        must_pass=options.must_pass,
        critical=options.critical,
    )
    return GateRequest(options.evals, options.run_config, options.evaluator, rules)


def _folder(project: Path | None) -> Path:
    folder = project_around((project or Path.cwd()).expanduser().absolute())
    if folder is None:
        raise click.UsageError(
            "There is no project here: give its folder as --project, or run the command in one."
        )
    return folder


async def _gate(folder: Path, request: "GateRequest", options: GateOptions) -> "GateReport":
    from kiln_mcp.evals.gate.anchors import checks_of_drift
    from kiln_mcp.evals.gate.checkout import open_for_gate
    from kiln_mcp.evals.gate.gate_report import open_gate, pass_gate

    drift = _drift(options)
    if options.run:
        from kiln_mcp.doors.cli.gate_results import make_gate_results
        from kiln_mcp.llm import BudgetLimit

        limit = BudgetLimit(cost_usd=options.most_usd, calls=options.most_calls)
        for failure in await make_gate_results(folder, request, limit, drift):
            click.echo(f"kiln-mcp: {for_terminal(failure)}", err=True)
    async with open_for_gate(folder, os.environ) as store:
        candidates = await open_gate(store, request)
        report = await pass_gate(store, candidates, request.rules, checks_drift=drift is not None)
        if drift is None:
            return report
        points = request.rules.loss
        checks = [
            c for candidate in candidates for c in await checks_of_drift(candidate, drift, points)
        ]
        return replace(report, checks=[*report.checks, *checks])


def _drift(options: GateOptions) -> "DriftRequest | None":
    if not options.drift:
        return None
    from kiln_mcp.evals.gate.anchors import DriftRequest

    since = options.since
    return DriftRequest(since.replace(tzinfo=UTC) if since else None, options.anchor)


async def _pin(folder: Path, request: "GateRequest") -> list[str]:
    from kiln_mcp.evals.baselines import pin_baseline
    from kiln_mcp.evals.gate.checkout import open_for_gate
    from kiln_mcp.evals.gate.gate_report import open_gate

    lines: list[str] = []
    async with open_for_gate(folder, os.environ) as store:
        for candidate in await open_gate(store, request):
            baseline = await pin_baseline(
                candidate.measurement, candidate.config, candidate.ids, store.person
            )
            rates = ", ".join(f"{key} {rate.mean:g}" for key, rate in baseline.rates.items())
            lines.append(f"{baseline.name} is the baseline of {candidate.name}: {rates}.")
    return lines
