"""The report of a search as a page of Markdown."""

from typing import Final

from kiln_mcp.evolution.explanation_answers import PromptExplanation
from kiln_mcp.evolution.report_answers import CandidateRow, PromptSearchReport
from storage.text.excerpts import excerpt_line

WIDTH: Final = 40
"""Characters of the longest bar of the curve."""
LONGEST_CELL: Final = 120


def markdown_of(report: PromptSearchReport) -> str:
    """Return a report as Markdown."""
    parts = [
        f"# Search {report.search}",
        f"From {report.start} ({report.model}), {report.max_calls} calls, seed {report.seed}. "
        f"State: {report.state}. Stop reason: {report.stop_reason or 'none yet'}.",
        report.verdict,
        "## Best prompt",
        _code_block(report.best_prompt),
        "## What changed",
        _code_block(report.difference, "diff"),
        "## Gain by calls, as the races saw it",
        _code_block(_curve(report)),
        "## Tree",
        _tree(report),
    ]
    if report.standings:
        parts += ["## Candidates", _standings(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def page_of(explanation: PromptExplanation) -> str:
    """Return what the parts of a prompt earn as Markdown."""
    rows = [
        [
            row.score,
            f"{row.earns:+.3f}",
            "" if row.low is None else f"{row.low:+.3f} to {row.high:+.3f}",
            row.says,
            _cell(row.part),
        ]
        for row in explanation.parts
    ]
    head = ["score", "earns", "interval", "says", "part"]
    table = [head, ["---"] * len(head), *rows]
    return "\n\n".join(
        [
            f"# What the prompt of {explanation.run_config} is made of",
            explanation.verdict,
            "\n".join(f"| {' | '.join(cells)} |" for cells in table),
            f"{explanation.items} items, {explanation.calls} calls, seed {explanation.seed}.",
            *explanation.warnings,
        ]
    )


def _curve(report: PromptSearchReport) -> str:
    top = max((point.expected_gain for point in report.curve), default=0.0) or 1.0
    return "\n".join(
        f"{point.calls:>7}  {'#' * round(WIDTH * max(0.0, point.expected_gain) / top):<{WIDTH}}  "
        f"{point.expected_gain:+.3f}  {point.candidate}"
        for point in report.curve
    )


def _tree(report: PromptSearchReport) -> str:
    lines: list[str] = []
    for point in report.curve:
        own = next((r for r in report.tree if r.candidate == point.candidate and r.accepted), None)
        lines.append(f"- **{point.candidate}** {_line(own) if own else 'the start'}")
        lines += [
            f"  - {row.candidate or 'no candidate'} {_line(row)}"
            for row in report.tree
            if row.parent == point.candidate and not row.accepted
        ]
    loose = [row for row in report.tree if not row.parent]
    lines += [f"- no candidate: {_line(row)}" for row in loose]
    return "\n".join(lines)


def _line(row: CandidateRow) -> str:
    words = f" {_cell(row.lesson)}" if row.lesson else ""
    items = f" From items {', '.join(row.items)}." if row.items else ""
    return f"({row.operator}, {row.gain - row.loss:+.3f}) {_cell(row.reason)}{words}{items}"


def _standings(report: PromptSearchReport) -> str:
    keys = list(dict.fromkeys(key for row in report.standings for key in row.scores))
    head = ["candidate", "items", *keys, "USD", "seconds", "words", "Pareto"]
    rows = [
        [
            row.candidate,
            str(row.items),
            *(f"{row.scores[key]:.3f}" if key in row.scores else "" for key in keys),
            f"{row.cost_usd:.6f}",
            f"{row.seconds:.2f}",
            str(row.words),
            "yes" if row.on_pareto_front else "",
        ]
        for row in report.standings
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return excerpt_line(text, LONGEST_CELL).replace("|", "\\|")


def _code_block(text: str, kind: str = "") -> str:
    longest = max((len(run) for run in _ticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def _ticks(text: str) -> list[str]:
    return ["`" * count for count in range(3, 12) if "`" * count in text]
