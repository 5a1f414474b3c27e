"""What the gate prints and writes."""

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from kiln_mcp.evals.gate.gate_report import GateReport
from kiln_mcp.evals.gate.junit import junit_xml
from kiln_mcp.evals.gate.markdown import markdown_summary
from kiln_mcp.workbench.answer_text import for_terminal
from storage.errors import InvalidValue

_SUMMARY_FILE: Final = "GITHUB_STEP_SUMMARY"
_MARKS: Final[Mapping[str, str]] = {"pass": "pass", "fail": "FAIL", "cannot tell": "open"}


def check_files(junit: Path | None, markdown: Path | None, *, summary: bool) -> None:
    """Refuse files of reports that cannot be written, and leave them as they are.

    Raises:
        InvalidValue: One cannot be written.
    """
    for file in (junit, markdown, _summary_file() if summary else None):
        if file is not None:
            with _sentence_of_fault(file):
                _open_once(file)


def write_files(
    report: GateReport, junit: Path | None, markdown: Path | None, seconds: float
) -> None:
    """Write a report as JUnit XML and as Markdown, each if a file is named.

    Raises:
        InvalidValue: One cannot be written.
    """
    if junit is not None:
        with _sentence_of_fault(junit):
            junit.write_bytes(junit_xml(report, seconds))
    if markdown is not None:
        with _sentence_of_fault(markdown):
            markdown.write_text(markdown_summary(report), encoding="utf-8")


def add_to_summary(report: GateReport) -> None:
    """Add a report to GitHub's summary of the workflow, if there is one.

    Raises:
        InvalidValue: It cannot be written.
    """
    if place := _summary_file():
        with _sentence_of_fault(place), place.open("a", encoding="utf-8") as file:
            file.write(markdown_summary(report))


def _summary_file() -> Path | None:
    """Return the file of GitHub's summary of the workflow; None if there is none."""
    place = os.environ.get(_SUMMARY_FILE)
    return Path(place) if place else None


def _open_once(file: Path) -> None:
    """Open a file for writing, and remove it if it was not there; pipes and devices are left."""
    exists = file.exists()
    if exists and not (file.is_file() or file.is_dir()):
        return
    file.open("ab").close()
    if not exists:
        file.unlink()


@contextmanager
def _sentence_of_fault(file: Path) -> Generator[None]:
    """Turn the system's error for a file into a sentence with the next step."""
    try:
        yield
    except OSError as error:
        raise InvalidValue(
            "The report cannot be written to '{file}': {fault}. Name a file in a folder that "
            "exists and that you may write to.",
            file=str(file),
            fault=error.strerror or str(error),
        ) from error


def print_report(report: GateReport, *, as_json: bool) -> None:
    """Print a report: a line for each check and one for the outcome, or JSON."""
    if as_json:
        click.echo(for_terminal(json.dumps(_data(report), indent=2, ensure_ascii=False)))
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
