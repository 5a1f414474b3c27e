"""The page of a data report: one file, light and dark, with plots that are tables as well."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from kiln_mcp.synthesis.report import DataReport
from kiln_mcp.synthesis.report_sentences import OUTCOMES, figures
from kiln_mcp.workbench.pages import render_page
from storage.text.excerpts import excerpt

_LONGEST: Final = 80


def report_page(
    title: str, report: DataReport, gaps: Sequence[str], clause_texts: Mapping[str, str]
) -> str:
    """Return the page of a data report as HTML; it loads nothing from elsewhere.

    Args:
        title: The names of the project and the task.
        report: The report.
        gaps: What the dataset lacks, the worst first.
        clause_texts: The texts of clauses by their ids, as far as they are known.
    """
    return render_page(
        __package__ or "",
        "data_report.html",
        title=f"Data report: {title}",
        report=report,
        figures=figures(report),
        gaps=gaps,
        outcomes=_outcomes(report),
        rows=_coverage_rows(report),
        clause_name=partial(_clause_name, clause_texts),
    )


def _clause_name(texts: Mapping[str, str], clause: str) -> str:
    """Return a clause's id with its text."""
    if not clause:
        return "none"
    return f"{clause}: {excerpt(texts[clause], _LONGEST)}" if clause in texts else clause


def _outcomes(report: DataReport) -> list[str]:
    """Return the outcomes that items have, the usual ones first."""
    names = {outcome for own in report.coverage.values() for outcome in own}
    return [*(name for name in OUTCOMES if name in names), *sorted(names - {*OUTCOMES})]


def _coverage_rows(report: DataReport) -> list[tuple[str, str, list[int]]]:
    """Return for each clause and topic the items of each outcome."""
    outcomes = _outcomes(report)
    return [
        (clause, topic, [own.get(outcome, {}).get(topic, 0) for outcome in outcomes])
        for clause, own in report.coverage.items()
        for topic in sorted({topic for topics in own.values() for topic in topics})
    ]
