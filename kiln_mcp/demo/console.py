"""The demo's output for a person: colours and bars on a terminal, plain text elsewhere."""

from collections.abc import Sequence
from typing import Final, Self

from rich.columns import Columns
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.judging.answers import AgreementReport, AgreementRow
from kiln_mcp.run_configs.system_prompts import split_examples

MOST_JUDGES: Final = 10
SHOWN_WARNINGS: Final = 3
SHOWN_DOUBTS: Final = 3


class PlainTeller:
    """Says what came of each step, a line each, and nothing on the way."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind."""

    def begin(self, title: str) -> None:
        """A step begins."""
        self._line(f"{title}:")

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Keep quiet."""

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self._line(f"  {sentence}")

    def judges(self, report: AgreementReport) -> None:
        """Say what the judges are worth."""
        for sentence in verdict_on_judges(report):
            self.say(sentence)

    def outcome(self, search: EvolutionReport, rows: Sequence[ComparisonRow]) -> None:
        """Say what the search came to."""
        self.begin("Result")
        for row in rows:
            self.say(f"{row.first:.3f} to {row.second:.3f} on {row.n} held-out messages.")
        self.say(search.verdict)

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


class RichTeller(PlainTeller):
    """Tells it with bars, a table and the two prompts side by side."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("  [dim]{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bar = self._bars.add_task("", visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bars.stop()

    def begin(self, title: str) -> None:
        """Print a heading and take the last step's bar away."""
        self._bars.reset(self._bar, visible=False)
        self._console.print(f"\n[bold cyan]{escape(title)}")

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Move the bar."""
        self._bars.update(
            self._bar, completed=done, total=total, description=message or "", visible=True
        )

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self._console.print(Padding(Text(sentence), (0, 0, 0, 2)))

    def judges(self, report: AgreementReport) -> None:
        """Print the judges as a table, and what it says."""
        # Fits 80 columns, names of judges as long as those included.
        table = Table(box=None, padding=(0, 1))
        for heading in ("judge", "agrees with people", "constant", "Cohen's κ"):
            side = "left" if heading == "judge" else "right"
            table.add_column(heading, justify=side, no_wrap=heading != "judge")
        for row in _best_first(report.rows)[:MOST_JUDGES]:
            table.add_row(
                escape(row.evaluator),
                f"{row.agreement:.0%}  [dim]{row.low:.0%} to {row.high:.0%}",
                f"{row.constant_agreement:.0%}",
                _kappa(row),
            )
        if report.rows:
            self._console.print(table)
        super().judges(report)

    def outcome(self, search: EvolutionReport, rows: Sequence[ComparisonRow]) -> None:
        """Print the comparison and the prompts side by side."""
        self.begin("Result")
        table = Table(box=None, padding=(0, 2))
        for heading in ("on held-out messages", "start", "winner", "difference", "95 % interval"):
            table.add_column(heading, justify="left" if heading[0] == "o" else "right")
        for row in rows:
            span = (
                "none"
                if row.low is None or row.high is None
                else f"{row.low:+.2f} to {row.high:+.2f}"
            )
            colour = "green" if search.gain_shown else "yellow"
            table.add_row(
                f"{row.score.replace('_', ' ')}, {row.n} items",
                f"{row.first:.0%}",
                f"[{colour}]{row.second:.0%}",
                f"{row.difference:+.2f}",
                span,
            )
        if rows:
            self._console.print(table)
        self.say(search.verdict)
        prompts = [("start", search.start_prompt)]
        prompts += [("winner", search.winner_prompt)] if search.winner else []
        width = max(30, self._console.width // 2 - 2)
        self._console.print(
            Columns([_panel(name, text, width) for name, text in prompts], padding=(0, 1))
        )


def verdict_on_judges(report: AgreementReport) -> list[str]:
    """Return what an eval's judges are worth, in sentences."""
    beating = [row for row in report.rows if row.low > row.constant_agreement]
    rows = _best_first(report.rows)
    sentences: list[str] = []
    steps = [f"Next: {step}." for step in report.next]
    if report.doubts.cannot_measure:
        return [*report.conclusions, *report.doubts.reasons, *_doubtful(report), *steps]
    if not beating and rows:
        top = rows[0]
        sentences.append(
            f"None of its {len(rows)} judges is shown to beat the constant answer "
            f"'{top.constant_answer}', which agrees with people on {top.constant_agreement:.0%} of "
            f"{top.n} items; the best judge agrees on {top.agreement:.0%} ({top.low:.0%} to "
            f"{top.high:.0%})."
        )
    else:
        sentences.append(f"{len(beating)} of {len(rows)} judges beat the constant answer.")
    return [*sentences, *report.warnings[:SHOWN_WARNINGS], *steps]


def _doubtful(report: AgreementReport) -> list[str]:
    """Return the labels that are most in doubt, a sentence for each."""
    return [
        f"Item {doubt.item} is labelled '{doubt.label}': {doubt.why}."
        for doubt in report.doubts.look_again[:SHOWN_DOUBTS]
    ]


def _best_first(rows: Sequence[AgreementRow]) -> list[AgreementRow]:
    return sorted(rows, key=lambda row: -row.agreement)


def _kappa(row: AgreementRow) -> str:
    if row.kappa is None:
        return "none"
    if row.kappa_low is None or row.kappa_high is None:
        return f"{row.kappa:+.2f}"
    return f"{row.kappa:+.2f}  [dim]{row.kappa_low:+.2f} to {row.kappa_high:+.2f}"


def _panel(name: str, prompt: str, width: int) -> Panel:
    instruction, examples = split_examples(prompt)
    lines: list[Text] = [Text(instruction)]
    for example in examples:
        lines += [
            Text(f"\n{example.task_input}", style="cyan"),
            Text(example.output, style="green"),
        ]
    title = f"{name}, {len(examples)} demonstrations" if examples else name
    return Panel(Group(*lines), title=title, width=width, title_align="left")


def teller_for(console: Console) -> PlainTeller:
    """Return the teller that fits where the output goes."""
    return RichTeller(console) if console.is_terminal else PlainTeller(console)
