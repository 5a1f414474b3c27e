"""What a person wants of a search: goals of scores, passages that stay, a longest prompt."""

from pathlib import Path

import pytest

from kiln_mcp.evolution.engine import Anchors, Candidate
from kiln_mcp.evolution.goals import Goals, read_goals
from search_bench import by_instruction, open_search_bench
from storage.errors import InvalidValue


@pytest.mark.parametrize(
    ("goals", "sentence"),
    [
        (Goals(weights={"safe": 1}), "no score 'safe' for weights; its scores are right, polite"),
        (Goals(floors={"right": 101}), "A floor is from 0 to 100 points"),
        (Goals(targets={"right": 0}), "A target is above 0"),
        (Goals(weights={"right": -1}), "A weight is 0 or more"),
        (Goals(weights={"right": float("nan")}), "A weight is 0 or more"),
        (Goals(weights={"right": 0, "polite": 0}), "Every score has weight 0"),
        (Goals(passages=["Never lie."]), "does not contain the passage to keep 'Never lie.'"),
    ],
)
def test_goals_that_cannot_be_are_refused(goals: Goals, sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        goals.check(["right", "polite"], "Do it.")


def test_lines_say_goals() -> None:
    lines = ["right weight 2", "two words floor 5", "right target .9", "words 30", "keep  Be kind."]
    assert read_goals(lines) == Goals(
        {"right": 2}, {"two words": 5}, {"right": 0.9}, ["Be kind."], 30
    )


@pytest.mark.parametrize(
    "line", ["", "right", "right 2", "right weight much", "keep ", "words -1", "words", "a b 3"]
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
