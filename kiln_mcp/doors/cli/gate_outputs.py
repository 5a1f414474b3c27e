"""What the gate prints and writes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from kiln_mcp.evals.gate.gate_report import GateReport
from kiln_mcp.evals.gate.junit import junit_xml
from kiln_mcp.evals.gate.markdown import markdown_summary
from kiln_mcp.workbench.answer_text import for_terminal

_SUMMARY_FILE: Final = "GITHUB_STEP_SUMMARY"
_MARKS: Final[Mapping[str, str]] = {"pass": "pass", "fail": "FAIL", "cannot tell": "open"}


def write_files(
    report: GateReport, junit: Path | None, markdown: Path | None, seconds: float
) -> None:
    """Write a report as JUnit XML and as Markdown, each if a file is named."""
    if junit is not None:
        junit.write_bytes(junit_xml(report, seconds))
    if markdown is not None:
        markdown.write_text(markdown_summary(report), encoding="utf-8")


def add_to_summary(report: GateReport) -> None:
    """Add a report to GitHub's summary of the workflow, if there is one."""
    if place := os.environ.get(_SUMMARY_FILE):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(markdown_summary(report))


def print_report(report: GateReport, *, as_json: bool) -> None:
    """Print a report: a line for each check and one for the outcome, or JSON."""
    if as_json:
        click.echo(json.dumps(_data(report), indent=2, ensure_ascii=False))
        return
    for check in report.checks:
        mark = _MARKS[check.outcome.value]
        click.echo(for_terminal(f"{mark}  {check.eval}: {check.name}. {check.says}"))
    for note in report.notes:
        click.echo(for_terminal(f"note  {note}"))
    click.echo(for_terminal(report.summary))


def _data(report: GateReport) -> dict[str, object]:
    return {
        "outcome": report.outcome.value,
        "summary": report.summary,
        "project": report.project,
        "run_configs": list(report.run_configs),
        "notes": list(report.notes),
        "checks": [
            {"eval": c.eval, "check": c.name, "outcome": c.outcome.value, "says": c.says}
            for c in report.checks
        ],
    }
