"""A split says what its parts have in common, and is called clean only if that is nothing."""

import random

import pytest

from kiln_mcp.synthesis.answers import DataSplit
from kiln_mcp.synthesis.frozen_splits import SplitFrozen
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.synthesis.split_assignment import KeepTogether
from kiln_mcp.workbench.workspace import Workspace
from storage import Task, TaskRun

SYLLABLES = ("ba", "de", "ki", "lo", "mu", "ra", "ne", "po", "su", "ti", "vo", "wa", "zi", "ge")


def random_words(draw: random.Random, count: int, syllables: int = 3) -> list[str]:
    return ["".join(draw.choices(SYLLABLES, k=syllables)) for _ in range(count)]


def same_forms(count: int) -> list[str]:
    """Return texts of so many forms, two of each."""
    draw, texts = random.Random(2), list[str]()
    for _ in range(count):
        form = random_words(draw, 6, syllables=1)
        texts += [" ".join([*form, filler]) for filler in random_words(draw, 2, syllables=9)]
    return texts


async def split_of(
    workspace: Workspace, items: list[DataItem], keep_together: KeepTogether = "topics"
) -> DataSplit:
    if items:
        await add_data(workspace, "P", items=items)
    split = await split_data(
        workspace, "P", "s", train=50, test=50, keep_together=keep_together, redeal=True
    )
    assert isinstance(split, DataSplit)
    return split


async def test_pairs_of_the_same_form_in_both_parts_are_said_and_can_be_kept_together(
    workspace: Workspace,
) -> None:
    items = [DataItem(input=text, output="o") for text in same_forms(41)]
    split = await split_of(workspace, items)
    assert not split.is_clean
    (sentence,) = split.leaks
    assert "of 41 pairs of the same form are in different parts, such as" in sentence
    split = await split_of(workspace, items, "forms")
    assert (split.is_clean, split.leaks, split.groups) == (True, [], 41)


async def test_topics_that_were_let_apart_are_named(workspace: Workspace) -> None:
    draw = random.Random(3)
    items = [
        DataItem(input=" ".join(random_words(draw, 8)), output="o", topic=f"topic {place % 2}")
        for place in range(20)
    ]
    split = await split_of(workspace, items, "near_duplicates")
    assert split.leaks == ["2 of 2 topics are in several parts: topic 0, topic 1."]
    assert (await split_of(workspace, items)).is_clean


@pytest.mark.parametrize("copies", [1, 3])
async def test_an_item_that_joins_two_parts_later_makes_a_leak_that_freezing_names(
    workspace: Workspace, copies: int
) -> None:
    draw = random.Random(4)
    first, second, third = (random_words(draw, 4) for _ in range(3))
    lone = [DataItem(input=" ".join(first + second)), DataItem(input=" ".join(second + third))]
    items = [DataItem(input=item.input, output="o") for item in lone]
    split = await split_of(workspace, [items[0]])
    assert split.leaks[0].startswith("Every item is in the part")
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    (run,) = await store.children(task, TaskRun)
    other = "test_s" if "train_s" in run.tags else "train_s"
    await add_data(workspace, "P", items=[items[1].model_copy(update={"tags": [other]})])
    bridge = " ".join(second + first[2:] + third[:2])
    await add_data(
        workspace,
        "P",
        items=[DataItem(input=bridge + " " * place, output="o") for place in range(copies)],
    )
    later = await split_data(workspace, "P", "s", train=50, test=50)
    assert isinstance(later, DataSplit)
    assert not later.is_clean
    assert "pairs that say the same are in different parts" in later.leaks[0]
    frozen = await split_data(workspace, "P", "s", freeze="july")
    assert isinstance(frozen, SplitFrozen)
    assert (frozen.is_clean, frozen.leaks) == (False, later.leaks)


async def test_classes_are_dealt_in_proportion_and_a_missing_one_is_named(
    workspace: Workspace,
) -> None:
    draw = random.Random(5)
    items = [
        DataItem(input=" ".join(random_words(draw, 8)), output="rare" if place < 8 else "usual")
        for place in range(40)
    ]
    assert (await split_of(workspace, items)).warnings[1:] == []
    report = await split_of(
        workspace,
        [item.model_copy(update={"topic": str(item.output)}) for item in items],
        "topics",
    )
    assert report.is_clean


async def test_a_split_whose_items_are_all_in_one_part_is_not_called_clean(
    workspace: Workspace,
) -> None:
    draw = random.Random(6)
    items = [
        DataItem(input=" ".join(random_words(draw, 8)), output="o", topic="one") for _ in range(20)
    ]
    split = await split_of(workspace, items)
    (part,) = split.parts
    assert not split.is_clean
    assert split.leaks[0].startswith(f"Every item is in the part {part.part}: nothing is kept")
    frozen = await split_data(workspace, "P", "s", freeze="july")
    assert isinstance(frozen, SplitFrozen)
    assert (frozen.is_clean, frozen.leaks) == (False, split.leaks)
    split = await split_of(workspace, [], "near_duplicates")
    assert split.leaks == ["1 of 1 topics are in several parts: one."]
