import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics.question_value import MOST_QUESTIONS, QuestionValue, is_worth_asking
from kiln_mcp.statistics.reading_beliefs import ReadingBeliefs, reading_beliefs
from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts

Truth = Callable[[str, int, int], bool]


def by_degrees(clause: str, item: int, reading: int) -> bool:
    """Each reading passes a tenth of the items more than the one before."""
    return item % 10 <= reading


def independent(clause: str, item: int, reading: int) -> bool:
    return random.Random(f"{clause} {item} {reading}").random() < 0.5


def panel(
    truth: Truth = by_degrees, *, clauses: str = "a", items: int = 30, readings: int = 8
) -> ReadingVerdicts:
    return {
        Cell(clause, f"i{i}", f"r{r}"): [truth(clause, i, r)] * 2
        for clause in clauses
        for i in range(items)
        for r in range(readings)
    }


def agreement(beliefs: ReadingBeliefs, truth: Truth, reading: int) -> float:
    predictions = beliefs.predictions()
    right = [
        passes == truth(clause, int(item[1:]), reading)
        for (clause, item), passes in predictions.items()
    ]
    return sum(right) / len(right)


def ask_until_sure(beliefs: ReadingBeliefs, truth: Truth, reading: int) -> tuple[int, float]:
    """Ask while it is worth it; return the number of questions and the agreement."""
    asked = 0
    while (value := beliefs.best_question()) and is_worth_asking(value, asked):
        passes = truth(value.clause, int(value.item[1:]), reading)
        beliefs = beliefs.with_answer(value.clause, value.item, passes=passes)
        asked += 1
    return asked, agreement(beliefs, truth, reading)


@pytest.mark.parametrize("reading", range(8))
def test_a_reading_of_eight_degrees_is_known_after_about_three_questions(reading: int) -> None:
    asked, share = ask_until_sure(reading_beliefs(panel()), by_degrees, reading)
    assert asked <= 4
    assert share >= 0.9


def test_the_first_question_halves_the_readings() -> None:
    value = reading_beliefs(panel()).best_question()
    assert value is not None
    assert 0.3 < value.pass_probability < 0.7
    assert value.pass_reading != value.fail_reading
    assert value.reduction > 0
    assert value.change > 0.1


def test_an_answer_about_one_clause_tells_of_another_if_the_person_is_consistent() -> None:
    beliefs = reading_beliefs(panel(independent, clauses="abc", items=40, readings=4))
    for clause in "ab":
        for item in range(8):
            passes = independent(clause, item, 2)
            beliefs = beliefs.with_answer(clause, f"i{item}", passes=passes)
    chances = beliefs.weights()[2]
    assert chances.argmax() == 2
    assert chances[2] > 0.5


def test_a_person_who_reads_clauses_differently_is_not_forced_into_one_member() -> None:
    beliefs = reading_beliefs(panel(independent, clauses="abc", items=40, readings=4))
    for clause, reading in (("a", 2), ("b", 0)):
        for item in range(8):
            beliefs = beliefs.with_answer(
                clause, f"i{item}", passes=independent(clause, item, reading)
            )
    weights = beliefs.weights()
    assert [int(own.argmax()) for own in weights[:2]] == [2, 0]
    assert weights[2].max() < 0.5


def test_one_wrong_answer_is_mended_by_later_ones() -> None:
    beliefs = reading_beliefs(panel(independent, items=40, readings=4))
    for item in range(12):
        passes = independent("a", item, 1) != (item == 0)
        beliefs = beliefs.with_answer("a", f"i{item}", passes=passes)
    assert beliefs.weights()[0].argmax() == 1


def test_an_output_is_not_asked_about_twice_and_its_answer_is_kept() -> None:
    beliefs = reading_beliefs(panel(items=10))
    first = beliefs.best_question()
    assert first is not None
    after = beliefs.with_answer(first.clause, first.item, passes=False)
    assert all(value.item != first.item for value in after.question_values())
    assert after.predictions()[first.clause, first.item] is False


def test_readings_that_agree_leave_nothing_to_ask() -> None:
    def alike(clause: str, item: int, reading: int) -> bool:
        return True

    beliefs = reading_beliefs(panel(alike))
    assert beliefs.best_question() is None
    assert not is_worth_asking(beliefs.best_question())


def test_only_the_named_clauses_are_asked_about() -> None:
    beliefs = reading_beliefs(panel(clauses="ab"))
    value = beliefs.best_question(["b"])
    assert value is not None
    assert value.clause == "b"
    assert beliefs.best_question([]) is None


def test_a_question_that_would_change_one_verdict_in_a_hundred_is_not_worth_asking() -> None:
    def one_split(clause: str, item: int, reading: int) -> bool:
        return item > 0 or reading < 2

    beliefs = reading_beliefs(panel(one_split, items=100, readings=4))
    value = beliefs.best_question()
    assert value is not None
    assert value.change <= 0.01
    assert not is_worth_asking(value)


def test_at_most_five_questions_are_asked() -> None:
    value = QuestionValue("a", "i", 1.0, 0.5, 0.5, "r0", "r1")
    assert [is_worth_asking(value, asked) for asked in (0, 4, MOST_QUESTIONS)] == [
        True,
        True,
        False,
    ]


def test_by_value_takes_at_most_half_as_many_questions_as_random_order() -> None:
    by_value, at_random = 0, 0
    for reading in range(6):
        beliefs = reading_beliefs(panel(clauses="abcd", items=40))
        order = [(c, f"i{i}") for c in "abcd" for i in range(40) if i % 10 < 7]
        random.Random(reading).shuffle(order)
        by_value += questions_for(beliefs, reading, best)
        at_random += questions_for(beliefs, reading, partial(last_of, order))
    assert by_value <= at_random / 2


def best(beliefs: ReadingBeliefs) -> tuple[str, str]:
    value = max(beliefs.question_values(), key=lambda value: value.reduction)
    return value.clause, value.item


def last_of(order: list[tuple[str, str]], _: ReadingBeliefs) -> tuple[str, str]:
    return order.pop()


def questions_for(
    beliefs: ReadingBeliefs, reading: int, choose: Callable[[ReadingBeliefs], tuple[str, str]]
) -> int:
    for asked in range(60):
        if agreement(beliefs, by_degrees, reading) >= 0.95:
            return asked
        clause, item = choose(beliefs)
        beliefs = beliefs.with_answer(
            clause, item, passes=by_degrees(clause, int(item[1:]), reading)
        )
    return 60


@pytest.mark.parametrize("noise", [0.0, 0.5, -0.1])
def test_the_noise_of_answers_lies_between_none_and_half(noise: float) -> None:
    with pytest.raises(ValueError, match="noise of answers"):
        reading_beliefs(panel(), noise)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.booleans()), max_size=12))
def test_beliefs_are_probabilities_whatever_the_answers(
    answers: list[tuple[str, int, bool]],
) -> None:
    beliefs = reading_beliefs(panel(clauses="ab", items=10, readings=3))
    for clause, item, passes in answers:
        beliefs = beliefs.with_answer(clause, f"i{item}", passes=passes)
    weights, mixed = beliefs.weights(), beliefs.pass_probabilities()
    assert np.allclose(weights.sum(axis=1), 1)
    assert ((mixed >= 0) & (mixed <= 1)).all()
    assert all(0 <= value.change <= 1 for value in beliefs.question_values())
