"""What a person sees of events: lines, questions set apart, the status line."""

from io import StringIO

import pytest

from agent.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CostChanged,
    Effect,
    JobChanged,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnd,
)
from agent.modes import Mode
from agent.terminal.painter import Painter
from agent.terminal.palette import can_draw, color_system
from agent.terminal.status import Status
from agent.terminal.surface import PlainSurface
from agent.terminal.view import EventView

QUESTION = ApprovalAsked(
    "1", "Judge 20 outputs.", (Effect.SPENDS, Effect.SENDS), 0.25, ("openai",), "run_eval", "p"
)


def seen(*events: object, whole_lines: bool = False) -> str:
    shown = StringIO()
    surface = PlainSurface(shown, Painter(None, escapes=False), 100, whole_lines)
    view = EventView(surface, has_boxes=False)
    for event in events:
        view.show(event)  # pyright: ignore[reportArgumentType]
    return shown.getvalue()


def test_a_result_is_one_line_and_an_error_all_its_words() -> None:
    began = ToolStarted("1", "look", '{"place": "house"}', Effect.READS)
    shown = seen(began, ToolFinished("1", "look", "empty\ndark\n", False, 0.25))
    assert shown == "✓ 1 look place=house: empty (+1 lines) · 0.2 s\n"
    shown = seen(began, ToolFinished("1", "look", "No house.\nBuild one.", True, 0.1))
    assert shown == "✗ 1 look: No house. Build one.\n"


@pytest.mark.parametrize("refusal", ["declined", "not approved", "only planned", "stopped"])
def test_a_call_that_was_not_carried_out_has_no_tick(refusal: str) -> None:
    began = ToolStarted("1", "wipe", "{}", Effect.DESTROYS)
    shown = seen(began, ToolFinished("1", "wipe", "Nothing.", False, 0.1, None, refusal))
    assert shown.splitlines()[-1] == f"✗ 1 wipe: {refusal}"


def test_what_changes_something_is_announced_before_it_is_done() -> None:
    shown = seen(ToolStarted("1", "split_data", '{"name": "a"}', Effect.WRITES))
    assert shown == "→ split_data (writes) name=a\n"


def test_a_question_shows_plan_cost_effects_and_destination() -> None:
    shown = seen(QUESTION)
    assert shown == ""  # the front shows it when it asks
    view = EventView(PlainSurface(out := StringIO(), Painter(None, escapes=False)), False)
    view.show_question(QUESTION)
    for words in ("Judge 20 outputs.", "at most $0.25", "spends, sends", "goes to: openai"):
        assert words in out.getvalue()


def test_an_answer_by_a_rule_names_the_rule() -> None:
    assert seen(ApprovalAnswered("1", "accept", "auto: $1 of $2")) == "Agreed (auto: $1 of $2).\n"
    assert seen(ApprovalAnswered("1", "decline", "person")) == "Not agreed.\n"


@pytest.mark.parametrize("trick", ["\x1b[2Jfree", "a\rb", "\u202efree", "\x9b2J"])
def test_no_event_moves_the_cursor(trick: str) -> None:
    shown = seen(
        TextDelta(trick + "\n"),
        ToolStarted("1", trick, f'{{"a": "{trick}"}}', Effect.SPENDS),
        ToolFinished("1", trick, trick, True, 0.0),
        JobChanged(trick, "done", 1, 1, trick),
        TurnEnd("failed", trick),
    )
    assert not set("\x1b\r\u202e\x9b") & set(shown)


def test_a_reader_that_speaks_gets_whole_lines() -> None:
    parts = [TextDelta("one li"), TextDelta("ne\ntwo"), TurnEnd("answered")]
    assert seen(*parts, whole_lines=True) == "one line\ntwo\n"
    assert seen(*parts[:1], whole_lines=True) == ""


def test_a_long_line_comes_in_whole_words_while_it_grows() -> None:
    words = " ".join(f"word{number:02}" for number in range(40))
    parts = [TextDelta(words[place : place + 5]) for place in range(0, len(words), 5)]
    lines = seen(*parts, whole_lines=True).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == 2
    assert words.startswith(" ".join(lines))
    assert seen(*parts, TextDelta("\n"), whole_lines=True).split() == words.split()


def test_a_long_line_without_spaces_is_broken_where_it_must() -> None:
    shown = seen(TextDelta("x" * 2500 + "\n"), TextDelta("\u6f22" * 60 + " a\n"), whole_lines=True)
    assert shown.replace("\n", "") == "x" * 2500 + "\u6f22" * 60 + "a"
    assert max(map(len, shown.splitlines())) <= 1000


def test_a_prompt_is_seen_before_it_is_answered() -> None:
    shown = StringIO()
    surface = PlainSurface(shown, Painter(None, escapes=False), 100, whole_lines=True)
    surface.stream("half a line")
    surface.prompt("Go ahead? ")
    assert shown.getvalue() == "half a line\nGo ahead? "


def test_the_status_line_leaves_out_what_does_not_fit() -> None:
    status = Status("openai/gpt-4.1", Mode.AUTO, "support")
    status.cost = CostChanged(0.5, 12_000, 3, 6_000, 60_000)
    status.note_job(JobChanged("j1", "running", 5, 10, ""))
    line = status.line(120)
    for words in ("openai/gpt-4.1", "mode auto", "job j1 ████░░░░ 5/10", "$0.5000"):
        assert words in line
    assert "12,000 tokens" in line
    assert "context 10 %" in line
    assert len(status.line(30)) <= 30
    status.note_job(JobChanged("j1", "done", 10, 10, ""))
    assert "job" not in status.line(120)


@pytest.mark.parametrize(
    ("environment", "colors", "draws"),
    [
        ({"TERM": "xterm"}, "standard", True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, None, True),
        ({"TERM": "dumb"}, None, False),
        ({}, None, False),
    ],
)
def test_colours_and_drawing_follow_the_environment(
    environment: dict[str, str], colors: str | None, draws: bool
) -> None:
    assert color_system(environment) == colors
    assert can_draw(environment) == draws


def test_without_colours_nothing_is_coloured() -> None:
    painted = Painter(None).paint("[x]", 20) + Painter(None, escapes=False).paint("x", 20)
    assert "\x1b[3" not in painted


def test_the_status_says_what_of_the_context_the_provider_had_cached() -> None:
    status = Status("m", cost=CostChanged(0.1, 2000, 2, 1000, 10_000, 900))
    assert "context 10 %, 90 % cached" in status.line(100)
    status.cost = CostChanged(0.1, 2000, 2, 1000, None)
    assert "context" not in status.line(100)


@pytest.mark.parametrize(
    ("cost_usd", "unpriced", "words"),
    [(0.5, 0, " $0.5000 "), (0.5, 1, "over $0.5000"), (0.0, 2, "price not known")],
)
def test_a_price_that_is_not_known_is_not_shown_as_nothing(
    cost_usd: float, unpriced: int, words: str
) -> None:
    status = Status("m", cost=CostChanged(cost_usd, 10, 2, 10, None, 0, unpriced))
    assert words in status.line(100)
