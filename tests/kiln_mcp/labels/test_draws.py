import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.labels.draws import draw_strata

pools = st.dictionaries(
    st.sampled_from(["pass", "fail", "critical", "unjudged"]), st.integers(1, 40), min_size=1
).map(lambda sizes: {name: [f"{name}{n}" for n in range(size)] for name, size in sizes.items()})


@given(pools, st.integers(1, 60), st.integers(0, 99), st.data())
def test_a_draw_takes_as_many_unlabelled_items_as_were_asked_for_or_are_left(
    golden_set: dict[str, list[str]], count: int, seed: int, data: st.DataObject
) -> None:
    everything = [item for items in golden_set.values() for item in items]
    labelled = frozenset(data.draw(st.lists(st.sampled_from(everything))))
    drawn = draw_strata(golden_set, labelled, count, seed)
    items = [item for stratum in drawn.values() for item in stratum.drawn]
    assert len(items) == len(set(items)) == min(count, len(set(everything) - labelled))
    assert not labelled & set(items)
    for name, stratum in drawn.items():
        assert set(stratum.drawn) <= set(golden_set[name])
        assert stratum.size == len(golden_set[name])
    assert draw_strata(golden_set, labelled, count, seed) == drawn


def test_a_rare_verdict_is_drawn_more_often_than_its_share() -> None:
    golden_set = {"pass": [f"p{n}" for n in range(95)], "fail": [f"f{n}" for n in range(5)]}
    drawn = draw_strata(golden_set, frozenset(), 10, seed=1)
    assert len(drawn["fail"].drawn) >= 3


def test_every_item_of_a_stratum_is_drawn_equally_often() -> None:
    golden_set = {"pass": [str(n) for n in range(10)]}
    draw = random.Random(3)
    counts = dict.fromkeys(golden_set["pass"], 0)
    for _ in range(2000):
        for item in draw_strata(golden_set, frozenset(), 3, draw.randrange(10**6))["pass"].drawn:
            counts[item] += 1
    assert all(500 < count < 700 for count in counts.values())


def test_drawing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"At least 1"):
        draw_strata({"pass": ["a"]}, frozenset(), 0, seed=0)
