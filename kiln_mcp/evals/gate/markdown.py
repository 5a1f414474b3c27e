"""The report of a gate as Markdown, for a pull request or the summary of a workflow."""

from collections.abc import Mapping
from typing import Final

from kiln_mcp.evals.gate.checks import CheckOutcome
from kiln_mcp.evals.gate.gate_report import GateReport
from storage.text.excerpts import defuse, excerpt

_MARKS: Final[Mapping[CheckOutcome, str]] = {
    CheckOutcome.PASS: "pass",
    CheckOutcome.FAIL: "**FAIL**",
    CheckOutcome.CANNOT_TELL: "cannot tell",
}


def markdown_summary(report: GateReport) -> str:
    """Return a report as Markdown: the outcome, then a table with what fails first."""
    order = [CheckOutcome.FAIL, CheckOutcome.CANNOT_TELL, CheckOutcome.PASS]
    rows = sorted(report.checks, key=lambda check: order.index(check.outcome))
    lines = [
        f"## {_cell(report.summary)}",
        "",
        "| outcome | eval | check | numbers |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {_MARKS[row.outcome]} | {_cell(excerpt(row.eval))} | "
        f"{_cell(row.name)} | {_cell(row.says)} |"
        for row in rows
    ]
    lines += [f"\n{_cell(note)}" for note in report.notes]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text that stays in its cell and brings no markup or control of its own."""
    line = defuse(" ".join(text.split()))
    for mark in ("\\", "|", "`", "<", "*", "_", "[", "!"):
        line = line.replace(mark, f"\\{mark}")
    return line
