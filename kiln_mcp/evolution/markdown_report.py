"""The report of a search as a page of Markdown."""

from typing import Final

from kiln_mcp.evolution.engine.operators import Operator
from kiln_mcp.evolution.explanation_answers import PromptExplanation
from kiln_mcp.evolution.report_answers import CandidateRow, PromptSearchReport
from storage.text.excerpts import excerpt_line

WIDTH: Final = 40
"""Characters of the longest bar of the curve."""
LONGEST_CELL: Final = 120
MOST_ITEMS: Final = 3
"""Items that a line of the tree names."""
HUNDRED: Final = 100
"""Gains from 0 to 1 are shown as points of a hundred."""
GAINS: Final = (
    "After so many calls of the search: points of 100 over the start, as its races expected "
    "them on training and validation items. They chose the candidates, so they flatter them: what "
    "is proven stands above."
)
TREE: Final = (
    "Each kept candidate, and below it the edits of it that were not kept. In brackets: how the "
    "edit was made, the points that its race expected, and on how many items it was better or "
    "worse."
)
STANDINGS: Final = (
    "Mean scores from 0 to 1 over all items of the search. Where a candidate was not run on an "
    "item, it counts as the best prompt that it came from, so few items say little. A candidate "
    "is on the Pareto front if none seen on enough items is better in all scores, cost and time. "
    "A trial is an edit as it was raced, before it was applied to a newer best prompt."
)
HELD_OUT: Final = (
    "In the scale of each score. The interval is that of the difference. A gain is shown if all "
    "of it lies above 0 and a paired test agrees; if 0 lies in it, nothing is shown."
)


def markdown_of(report: PromptSearchReport) -> str:
    """Return a report as Markdown."""
    editor = f"{report.reflecting} edits" if report.reflecting else "no model edits"
    parts = [
        f"# Search {report.search}",
        f"It starts from {report.start} with the model {report.model}; {editor}. Up to "
        f"{report.max_calls} calls, seed {report.seed}. State: {report.state}. "
        f"{report.stop_sentence}".rstrip(),
        report.verdict,
        *(["## On held-out items", HELD_OUT, _comparison(report)] if report.comparison else []),
        "## Best prompt",
        _code_block(report.best_prompt),
        "## What changed",
        _code_block(report.difference, "diff"),
        "## Gain by calls",
        GAINS,
        _code_block(_curve(report)),
        "## Tree",
        TREE,
        _tree(report),
    ]
    if report.standings:
        parts += ["## Candidates", STANDINGS, _standings(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def page_of(explanation: PromptExplanation) -> str:
    """Return what the parts of a prompt earn as Markdown."""
    rows = [
        [
            row.score,
            _points(row.earns),
            ""
            if row.low is None or row.high is None
            else f"{_points(row.low)} to {_points(row.high)}",
            row.says,
            _cell(row.part),
        ]
        for row in explanation.parts
    ]
    head = ["score", "earns", "interval", "shown", "part"]
    return "\n\n".join(
        [
            f"# What the prompt of {explanation.run_config} is made of",
            explanation.verdict,
            "Points of 100 that are lost if the part is left out; below 0 it harms. An effect is "
            "shown if its interval leaves out 0 and a paired test agrees.",
            _table(head, rows),
            f"{explanation.items} items, {explanation.calls} calls, seed {explanation.seed}.",
            *explanation.warnings,
        ]
    )


def _curve(report: PromptSearchReport) -> str:
    top = max((point.expected_gain for point in report.curve), default=0.0) or 1.0
    return "\n".join(
        f"{point.calls:>7}  {'#' * round(WIDTH * max(0.0, point.expected_gain) / top):<{WIDTH}}  "
        f"{_points(point.expected_gain):>6}  {point.candidate}"
        for point in report.curve
    )


def _tree(report: PromptSearchReport) -> str:
    lines: list[str] = []
    for point in report.curve:
        own = next((r for r in report.tree if r.name == point.candidate and r.accepted), None)
        lines.append(f"- **{point.candidate}**{f' {_line(own)}' if own else ''}")
        lines += [
            f"  - {row.name or f'proposal {row.number}'} {_line(row)}"
            for row in report.tree
            if row.parent == point.candidate and not row.accepted
        ]
    loose = [row for row in report.tree if not row.parent]
    if loose:
        lines.append("- made no candidate:")
        lines += [f"  - proposal {row.number} {_line(row)}" for row in loose]
    return "\n".join(lines)


def _line(row: CandidateRow) -> str:
    counts = f", {row.better_on} better, {row.worse_on} worse"
    race = f", {_points(row.gain - row.loss)}{counts}" if row.better_on or row.worse_on else ""
    words = f" Meant to correct: {_cell(row.lesson)}" if row.lesson else ""
    rest = f" and {len(row.items) - MOST_ITEMS} more" if len(row.items) > MOST_ITEMS else ""
    names = "; ".join(map(_cell, row.items[:MOST_ITEMS]))
    role = "Compared on" if row.operator == Operator.DEMONSTRATE.value else "Made from"
    items = f" {role}: {names}{rest}." if row.items else ""
    return f"({row.operator}{race}) {_cell(row.reason)}{words}{items}"


def _points(gain: float) -> str:
    """Return a gain from 0 to 1 as points of a hundred, with its sign."""
    return f"{HUNDRED * gain:+.1f}"


def _comparison(report: PromptSearchReport) -> str:
    rows = [
        [
            row.score,
            f"{row.first:.3f}",
            f"{row.second:.3f}",
            f"{row.difference:+.3f}",
            "" if row.low is None or row.high is None else f"{row.low:+.3f} to {row.high:+.3f}",
            f"{row.second_better_on} / {row.first_better_on}",
            str(row.n),
        ]
        for row in report.comparison
    ]
    return _table(
        ["score", "start", "best", "difference", "interval", "better / worse on", "items"], rows
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
    return _table(head, rows)


def _cell(text: str) -> str:
    return excerpt_line(text, LONGEST_CELL).replace("|", "\\|")


def _code_block(text: str, kind: str = "") -> str:
    longest = max((len(run) for run in _ticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def _ticks(text: str) -> list[str]:
    return ["`" * count for count in range(3, 12) if "`" * count in text]
