"""What a person wants of a search: goals of scores, passages that stay, a longest prompt."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.evals import service as evals
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evolution.engine import Anchors, Candidate
from kiln_mcp.evolution.goals import Goals, read_goals
from kiln_mcp.evolution.search_context import SearchRequest, prepare
from kiln_mcp.evolution.search_plans import plan_search
from kiln_mcp.llm import ModelRequest
from search_bench import Bench, by_instruction, constant, edits_of_no_block, open_search_bench
from storage import TaskRun
from storage.errors import InvalidValue


@pytest.mark.parametrize(
    ("goals", "sentence"),
    [
        (Goals(weights={"safe": 1}), "no score 'safe' for weights; its scores are right, polite"),
        (Goals(floors={"right": 101}), "A floor is from 0 to 100 points"),
        (Goals(targets={"right": 0}), "A target is above 0"),
        (Goals(weights={"right": -1}), "A weight is a number from 0"),
        (Goals(weights={"right": float("nan")}), "A weight is a number from 0"),
        (Goals(weights={"right": 0, "polite": 0}), "Every score has weight 0"),
        (Goals(passages=["Never lie."]), "does not contain the passage to keep 'Never lie.'"),
    ],
)
def test_goals_that_cannot_be_are_refused(goals: Goals, sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        goals.check(["right", "polite"], "Do it.")


def test_lines_say_goals() -> None:
    lines = ["right weight 2", "two words floor 5", "right target .9", "words 30", "keep  Be kind."]
    lines += ["require tag::must", "require legal", "shorter", "runs 2"]
    assert read_goals(lines) == Goals(
        {"right": 2},
        {"two_words": 5},
        {"right": 0.9},
        ["Be kind."],
        30,
        required=["must", "legal"],
        shortens=True,
        most_runs=2,
    )


def test_scores_go_by_name_or_key_in_any_spelling_of_the_goal() -> None:
    expected = read_goals(["booking_is_right floor 0", "words 30", "shorter"])
    assert expected.floors == {"booking_is_right": 0}
    for line in (
        "Booking is right floor 0",
        "booking_is_right  FLOOR 0",
        "'Booking is right': floor 0",
    ):
        assert read_goals([line, "Words 30", "SHORTER"]) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("right floor 0", "Right floor 5"),
        ("words 30", "words 300"),
        ("runs 1", "runs 2"),
        ("from a", "from b"),
    ],
)
def test_goals_that_contradict_each_other_are_refused(first: str, second: str) -> None:
    with pytest.raises(InvalidValue, match=f"'{second}' contradicts an earlier goal"):
        read_goals([first, second])
    assert read_goals([first, first]) == read_goals([first])


@pytest.mark.parametrize(
    "line",
    [
        *("", "right", "right 2", "right weight much", "keep ", "words -1", "words", "a b 3"),
        *("require", "shorter please", "runs 0", "from "),
    ],
)
def test_a_line_that_says_no_goal_is_refused_with_the_forms(line: str) -> None:
    with pytest.raises(InvalidValue, match="says no goal: write '<score> weight 2'"):
        read_goals([line])


def test_goals_reach_the_engine_by_score() -> None:
    goals = Goals({"right": 2}, {"polite": 0}, {"right": 0.9})
    by_score = goals.by_score(["right", "polite"])
    assert (by_score["right"].weight, by_score["right"].target) == (2, 0.9)
    assert (by_score["right"].margin, by_score["polite"].margin) == (None, 0)


def test_an_instruction_that_is_too_long_is_refused_whatever_its_examples() -> None:
    anchors = Anchors(most_words=3)
    assert anchors.objection(Candidate.of("one two three")) == ""
    texts = {"instruction": "one two three", "demonstrations": "many many many many words"}
    assert anchors.objection(Candidate.of(texts)) == ""
    assert "4 words, more than the 3" in anchors.objection(Candidate.of("one two three four"))


async def test_no_edit_is_kept_that_passes_the_longest_prompt(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        answer = await bench.evolve(max_calls=60, reflect_with="editor", goals=["words 2"])
        assert answer.winner_prompt == "Do it."
        assert any("more than the 2" in warning for warning in answer.warnings)


async def test_an_unknown_score_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        with pytest.raises(InvalidValue, match=r"no score 'safety' for floors"):
            await bench.evolve(goals=["safety floor 0"])
        assert bench.model.requests == []


def falls_with_edit(request: ModelRequest) -> str:
    """Double numbers when told so, but the number 3 only when not told so."""
    number = int(request.messages[-1].content)
    is_told = "double" in request.messages[0].content
    return json.dumps({"n": number * 2 if is_told is not (number == 3) else number})


async def tag(bench: Bench, number: int, name: str) -> None:
    runs = await bench.store.children(bench.task, TaskRun)
    [run] = [run for run in runs if run.input == str(number)]
    await bench.store.save(run.model_copy(update={"tags": (*run.tags, name)}))


async def test_an_edit_that_falls_on_a_required_item_does_not_win(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, falls_with_edit) as bench:
        await tag(bench, 3, "legal")
        answer = await bench.evolve(
            max_calls=100, reflect_with="editor", goals=["require tag::legal"]
        )
        assert answer.winner_prompt == "Do it."
        assert any("falls on a required case: '3'" in warning for warning in answer.warnings)
        free = await bench.evolve(max_calls=100, reflect_with="editor")
        assert "double it" in free.winner_prompt


async def test_a_required_tag_that_no_item_has_is_refused(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        with pytest.raises(InvalidValue, match="No training or validation item has the tag 'test'"):
            await bench.evolve(goals=["require test"])
        assert bench.model.requests == []


async def test_a_block_that_brings_nothing_is_left_out_only_when_asked(tmp_path: Path) -> None:
    prompt = "Please double the number.\n\nThe weather is fine today."
    async with open_search_bench(tmp_path, by_instruction, prompt=prompt) as bench:
        start = {"max_calls": 120, "reflect_with": "embedded"}
        kept = await bench.evolve(**start)
        shorter = await bench.evolve(**start, goals=["shorter"])
    assert "weather" in kept.winner_prompt
    assert shorter.winner_prompt == "Please double the number."


async def test_other_words_are_asked_for_once_reflection_brings_nothing(tmp_path: Path) -> None:
    asked: list[str] = []

    def editor(request: ModelRequest) -> str:
        asked.append(request.messages[0].content)
        return edits_of_no_block(request)

    async with open_search_bench(tmp_path, constant, editor=editor) as bench:
        await bench.evolve(max_calls=300, reflect_with="editor")
    is_paraphrase = ["in other words, so that a model follows it better" in text for text in asked]
    assert is_paraphrase.index(True) >= 10
    assert not all(is_paraphrase[10:])


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        (("right floor 8", "polite floor 8"), ""),
        (("right floor 8", "polite floor 0"), "cannot show the floor of polite: they exclude no "),
        (("right floor 7", "polite floor 0"), "cannot show the floor of right and polite: "),
    ],
)
async def test_a_plan_says_which_floors_the_test_items_cannot_show(
    tmp_path: Path, goals: tuple[str, ...], words: str
) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        score = {"type": "pass_fail", "instruction": "Is it?"}
        call: dict[str, JsonValue] = {
            "project": str(bench.store.folder),
            "eval": "Two",
            "type": "llm_judge",
            "model": "editor",
            "steps": ["Look at it."],
            "scores": [{"name": "Right", **score}, {"name": "Polite", **score}],
            **{f"{part}_filter": f"tag::{part}" for part in ("train", "val", "test")},
        }
        await evals.create_evaluator.invoke(bench.workspace, call)
        two = await load_measurement(bench.store, await find_eval(bench.store, "Two"), None)
        request = SearchRequest("start", 60, 0, None, read_goals(goals))
        plan = await plan_search(await prepare(bench.workspace, two, request))
        assert ("cannot show the floor" in plan.summary) is bool(words)
        assert words in plan.summary
