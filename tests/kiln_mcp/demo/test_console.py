"""What the demo shows of judges and of a search, on a terminal and elsewhere."""

import io

from rich.console import Console

from kiln_mcp.demo.console import MOST_JUDGES, PlainTeller, RichTeller, verdict_on_judges
from kiln_mcp.evals.answers import ComparisonRow
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.judging.answers import AgreementReport, AgreementRow
from kiln_mcp.judging.label_doubts import DoubtfulItem, LabelDoubts
from storage.errors import NextStep


def judge(
    name: str, agreement: float, low: float, kappa: tuple[float | None, float | None] = (0.5, 0.25)
) -> AgreementRow:
    """Return the row of a judge, beside a constant answer that agrees on 70 %."""
    value, kappa_low = kappa
    return AgreementRow(
        evaluator=name,
        score="Correct",
        basis="drawn",
        n=40,
        skips=0,
        agreement=agreement,
        low=low,
        high=0.99,
        constant_answer="pass",
        constant_agreement=0.7,
        beats_constant=low > 0.7,
        kappa=value,
        kappa_low=kappa_low,
        kappa_high=None if kappa_low is None else 0.75,
        true_pass_rate=None,
        true_fail_rate=None,
        tau_b=None,
        mean_error=0.0,
        bias=0.0,
        intervals={},
    )


def report_on(*rows: AgreementRow, doubts: LabelDoubts | None = None) -> AgreementReport:
    return AgreementReport(
        eval="Answers",
        labelled_items=40,
        purpose="all",
        rows=list(rows),
        conclusions=["The labels say little."],
        doubts=doubts or LabelDoubts(),
        human_ceiling=[],
        new_verdicts=0,
        failed=0,
        warnings=[f"Warning {number}." for number in range(5)],
        next=[NextStep(tool="label_next", reason="label more items")],
    )


def search_with(winner: str | None) -> EvolutionReport:
    return EvolutionReport(
        verdict="The search is over.",
        gain_shown=winner is not None,
        start="start",
        winner=winner,
        prompt_id=None,
        start_prompt="Read the booking.",
        winner_prompt="Read the booking with care.",
        demonstrations=0,
        comparison=[],
        held_out_items=72,
        validation_items=36,
        training_items=36,
        stop_reason="budget",
        races=1,
        race_wins=[],
        max_calls=10,
        search_calls=10,
        held_out_calls=0,
        seed=0,
        search_log="log.jsonl",
    )


COMPARISON = ComparisonRow(
    score="booking_is_right",
    first=0.25,
    second=0.75,
    difference=0.5,
    low=None,
    high=None,
    p_value=None,
    test="none",
    n=72,
    first_better_on=0,
    second_better_on=36,
    says="The winner is better.",
)


def terminal() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_only_judges_whose_whole_interval_is_above_the_constant_answer_beat_it() -> None:
    first, *rest = verdict_on_judges(
        report_on(judge("sure", 0.9, 0.8), judge("level", 0.9, 0.7), judge("unsure", 0.9, 0.6))
    )
    assert first == "1 of 3 judges beat the constant answer."
    assert rest[:-1] == ["Warning 0.", "Warning 1.", "Warning 2."]
    assert rest[-1] == "Next: label_next: label more items."


def test_where_no_judge_beats_the_constant_answer_the_best_one_is_measured_in_words() -> None:
    first = verdict_on_judges(report_on(judge("weak", 0.5, 0.4), judge("best", 0.8, 0.6)))[0]
    assert first == (
        "None of its 2 judges is shown to beat the constant answer 'pass', which agrees with "
        "people on 70% of 40 items; the best judge agrees on 80% (60% to 99%)."
    )


def test_labels_that_cannot_measure_hide_the_count_of_good_judges() -> None:
    doubt = DoubtfulItem(item="7", score="Correct", label="fail", why="9 of 10 judges differ")
    doubts = LabelDoubts(
        cannot_measure=["Correct"], reasons=["They are one-sided."], look_again=[doubt] * 4
    )
    sentences = verdict_on_judges(report_on(judge("sure", 0.9, 0.8), doubts=doubts))
    assert sentences == [
        "The labels say little.",
        "They are one-sided.",
        *["Item 7 is labelled 'fail': 9 of 10 judges differ."] * 3,
        "Next: label_next: label more items.",
    ]


def test_a_terminal_lists_the_judges_with_the_best_first_and_their_kappa() -> None:
    console = terminal()
    rows = [
        judge("weak [one]", 0.5, 0.4, (None, None)),
        judge("strong", 0.9, 0.8),
        judge("middle", 0.8, 0.6, (0.25, None)),
    ]
    RichTeller(console).judges(report_on(*rows))
    heading, *table = lines_of(console)
    assert heading.split() == ["judge", "agrees", "with", "people", "constant", "Cohen's", "κ"]
    assert [" ".join(line.split()) for line in table[:3]] == [
        "strong 90% 80% to 99% 70% +0.50 +0.25 to +0.75",
        "middle 80% 60% to 99% 70% +0.25",
        "weak [one] 50% 40% to 99% 70% none",
    ]
    assert table[3].strip() == "1 of 3 judges beat the constant answer."


def test_a_terminal_shows_no_more_judges_than_its_table_takes() -> None:
    console = terminal()
    rows = [judge(f"judge-{place:02}", 0.5 + place / 100, 0.4) for place in range(MOST_JUDGES + 2)]
    RichTeller(console).judges(report_on(*rows))
    names = [line.split()[0] for line in lines_of(console) if line.startswith(" judge-")]
    assert names == [f"judge-{place:02}" for place in reversed(range(2, MOST_JUDGES + 2))]


def test_plain_text_gives_both_scores_of_a_search_and_then_its_verdict() -> None:
    console = Console(file=io.StringIO(), width=100)
    PlainTeller(console).outcome(search_with("winner"), [COMPARISON])
    assert lines_of(console) == [
        "Result:",
        "  0.250 to 0.750 on 72 held-out messages.",
        "  The search is over.",
    ]


def test_a_terminal_says_that_a_comparison_has_no_interval() -> None:
    console = terminal()
    RichTeller(console).outcome(search_with("winner"), [COMPARISON])
    (row,) = [line for line in lines_of(console) if "booking is right" in line]
    assert row.split()[-4:] == ["25%", "75%", "+0.50", "none"]


def test_a_search_without_a_winner_shows_the_starting_prompt_alone() -> None:
    console = terminal()
    RichTeller(console).outcome(search_with(None), [])
    shown = "\n".join(lines_of(console))
    assert "Read the booking." in shown
    assert "held-out messages" not in shown
    assert "with care" not in shown
