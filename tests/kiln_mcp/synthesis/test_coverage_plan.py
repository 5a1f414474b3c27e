from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.synthesis.coverage_plan import Aim, coverage_plan

topics = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=9, unique=True)


@given(topics, st.integers(0, 300))
def test_a_plan_holds_exactly_the_count_and_treats_topics_alike(
    names: list[str], count: int
) -> None:
    per_topic: Counter[str] = Counter(dict.fromkeys(names, 0))
    for cell in coverage_plan(names, count):
        per_topic[cell.topic] += cell.count
    assert per_topic.total() == count
    assert max(per_topic.values()) - min(per_topic.values()) <= 1


def test_a_topic_gets_every_aim_when_there_is_room() -> None:
    cells = coverage_plan(["refunds", "delivery"], 20)
    assert {(cell.topic, cell.aim) for cell in cells} == {
        (topic, aim)
        for topic in ("refunds", "delivery")
        for aim in (Aim.PASS, Aim.FAIL, Aim.BORDERLINE)
    }


def test_topics_must_be_there_once() -> None:
    with pytest.raises(ValueError, match="topics"):
        coverage_plan(["a", "a"], 3)
