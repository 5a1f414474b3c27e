from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.datasets.parts import SHARES
from kiln_mcp.datasets.splits import deal, split_sizes

shares = st.dictionaries(
    st.sampled_from(["train", "val", "test", "golden"]), st.integers(0, 100), min_size=1
).filter(lambda given: sum(given.values()) > 0)
groups = st.lists(st.sampled_from("abcdefghij"), max_size=60)


@given(st.integers(0, 2000), shares)
def test_sizes_add_up_and_are_within_one_of_the_exact_share(
    count: int, parts: dict[str, int]
) -> None:
    sizes = split_sizes(count, parts)
    assert sum(sizes.values()) == count
    for name, size in sizes.items():
        assert abs(size - count * parts[name] / sum(parts.values())) < 1


def test_a_hundred_items_are_dealt_40_25_25_10() -> None:
    assert split_sizes(100, SHARES) == {"train": 40, "val": 25, "test": 25, "golden": 10}


@pytest.mark.parametrize("parts", [{"train": 0}, {"train": 5, "val": -1}])
def test_shares_that_mean_nothing_are_refused(parts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="shares"):
        split_sizes(10, parts)


@given(groups, shares, st.integers())
def test_every_item_gets_one_part_and_no_group_straddles(
    items: list[str], parts: dict[str, int], seed: int
) -> None:
    dealt = deal(items, parts, seed)
    assert len(dealt) == len(items)
    assert set(dealt) <= set(parts)
    assert len(set(zip(items, dealt, strict=True))) == len(set(items))


@given(groups, shares, st.integers())
def test_a_part_exceeds_its_size_by_less_than_the_largest_group(
    items: list[str], parts: dict[str, int], seed: int
) -> None:
    dealt = Counter(deal(items, parts, seed))
    largest = max(Counter(items).values(), default=1)
    for name, size in split_sizes(len(items), parts).items():
        assert dealt[name] < size + largest


@given(st.integers(0, 200), shares, st.integers())
def test_single_items_are_dealt_in_exactly_the_sizes(
    count: int, parts: dict[str, int], seed: int
) -> None:
    dealt = Counter(deal([str(place) for place in range(count)], parts, seed))
    assert {name: dealt[name] for name in parts} == split_sizes(count, parts)


def test_a_seed_repeats_its_deal_and_another_seed_gives_another() -> None:
    items = [str(place) for place in range(50)]
    assert deal(items, SHARES, 7) == deal(items, SHARES, 7)
    assert deal(items, SHARES, 7) != deal(items, SHARES, 8)


@given(groups, shares, st.integers(), st.data())
def test_strata_change_neither_the_sizes_nor_the_groups(
    items: list[str], parts: dict[str, int], seed: int, data: st.DataObject
) -> None:
    strata = [data.draw(st.sampled_from("xyz")) for _ in items]
    dealt = deal(items, parts, seed, strata)
    assert len(set(zip(items, dealt, strict=True))) == len(set(items))
    largest = max(Counter(items).values(), default=1)
    sizes = Counter(dealt)
    for name, size in split_sizes(len(items), parts).items():
        assert abs(sizes[name] - size) < max(1, largest)


def test_each_part_has_its_share_of_every_stratum() -> None:
    strata = ["rare" if place % 10 == 0 else "usual" for place in range(200)]
    dealt = deal([str(place) for place in range(200)], SHARES, 3, strata)
    counts = Counter(zip(dealt, strata, strict=True))
    assert {part: counts[part, "rare"] for part in SHARES} == {
        "train": 8,
        "val": 5,
        "test": 5,
        "golden": 2,
    }
