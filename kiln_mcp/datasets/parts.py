"""The parts of a dataset: their names, tags and shares."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

Part = Literal["train", "val", "test", "golden"]
"""A part: made into prompts, chooses among prompts, measured on, labelled by people."""

MeasuredPart = Literal["test", "train", "val"]
"""A part that evals run on; golden items are for labels."""

PARTS: Final[tuple[Part, ...]] = get_args(Part)
HELD_OUT: Final[frozenset[Part]] = frozenset({"test", "golden"})
"""The parts that are measured on, so that nothing may learn from them."""

SHARES: Final[Mapping[str, int]] = {"train": 40, "val": 25, "test": 25, "golden": 10}
"""The usual shares, in percent."""

_PART_TAG: Final = re.compile(rf"({'|'.join(PARTS)})_(.+)")


def tag_of(name: str) -> str:
    """Return a name as part of a tag: lower case letters and digits, joined by underscores."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"\W+", "_", plain).strip("_") or "eval"


def part_tag(part: Part, split: str) -> str:
    """Return the tag of a split's part, such as `train_<split>`."""
    return f"{part}_{split}"


def part_tags(split: str) -> dict[str, str]:
    """Return the tag of each part of a split."""
    return {part: part_tag(part, split) for part in PARTS}


def part_filter(part: Part, split: str) -> str:
    """Return the filter of a split's part in Kiln's format, such as `tag::train_<split>`."""
    return tag_filter(part_tag(part, split))


def tag_filter(tag: str) -> str:
    """Return the filter of a tag in Kiln's format."""
    return f"tag::{tag}"


def eval_tag(slug: str) -> str:
    """Return the tag of an eval's own items, which no split dealt."""
    return f"eval_{slug}"


def splits_with(part: Part, tags: Iterable[str]) -> list[str]:
    """Return the names of the splits of which a part is among some tags, sorted."""
    matches = (_PART_TAG.fullmatch(tag) for tag in tags)
    return sorted({match[2] for match in matches if match and match[1] == part})


def is_held_out(tags: Iterable[str]) -> bool:
    """Return whether one of an item's tags is that of a held-out part, whatever the split."""
    prefixes = tuple(part_tag(part, "") for part in sorted(HELD_OUT))
    return any(tag.startswith(prefixes) for tag in tags)


def dealt_splits(tags: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
    """Return the items of each part of each split that evals can measure on, by its name.

    A name is such a split's if a test part and another part have it.

    Args:
        tags: How many items have each tag.
    """
    splits = split_sizes(tags)
    return {name: parts for name, parts in splits.items() if "test" in parts and len(parts) > 1}


def split_sizes(tags: Mapping[str, int]) -> Mapping[str, Mapping[str, int]]:
    """Return the items of each part by the name that follows it, such as `s` of `train_s`.

    Where one part alone has a name, that may be a tag of a person, such as `train_station`.

    Args:
        tags: How many items have each tag.
    """
    splits: dict[str, dict[str, int]] = defaultdict(dict)
    for tag, runs in tags.items():
        match = _PART_TAG.fullmatch(tag)
        if match:
            splits[match[2]][match[1]] = runs
    return splits
