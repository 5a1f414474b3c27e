"""Errors about evals.

storage.errors.WorkbenchError
└── EvalError
    └── NothingToEvaluate  there is no item, no run config or no evaluator
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from kiln_mcp.datasets.parts import part_filter
from kiln_mcp.run_configs.errors import EvalError
from storage.errors import NextStep, Refusal


class NothingToEvaluate(EvalError):
    """There is no item, no run config or no evaluator."""


def missing_split(name: str, splits: Sequence[str], test_tags: Sequence[str] = ()) -> Refusal:
    """Return the refusal of a new eval whose items are unclear: no split fits, or several do."""
    if test_tags and not splits:
        return Refusal(
            "The items of the new eval '{name}' are unclear: no split has its name, and none has "
            "more parts than test. Give test_filter, such as 'tag::{tag}'.",
            name=name,
            tag=test_tags[0],
        )
    if splits:
        return Refusal(
            "The new eval '{name}' could take its items from {count} splits: {splits}. Give "
            "test_filter, such as '{filter}', and the other filters of that split.",
            name=name,
            count=len(splits),
            splits=splits,
            filter=part_filter("test", splits[0]),
        )
    return Refusal(
        "The new eval '{name}' would have no items: the task has no split, and no outputs of your "
        "feature. Deal its items into a split, give test_filter, or import what your feature "
        "answered, as traces or with outputs=answers.",
        name=name,
        next=[
            NextStep(tool="split_data", reason="deal the task's items into parts"),
            NextStep(tool="add_data", reason="or import outputs or traces, to judge them"),
        ],
    )


def not_compared(first: str, second: str, first_count: int, second_count: int) -> Refusal:
    """Return the refusal to compare two run configs that share no scored item."""
    return Refusal(
        "'{first}' and '{second}' cannot be compared: no item was scored for both "
        "({first_count} and {second_count} scored items).",
        first=first,
        second=second,
        first_count=first_count,
        second_count=second_count,
        next=[NextStep(tool="run_eval", reason="score both run configs first")],
    )


def no_score(reasons: Sequence[str]) -> EvalError:
    """Return the error of a run in which no item could be scored, with the commonest reasons."""
    # Sentences that differ only in their numbers are the same reason.
    counts = Counter(_NUMBER.sub("0", reason) for reason in reasons)
    examples = {_NUMBER.sub("0", reason): reason for reason in reversed(reasons)}
    common = counts.most_common(3)
    sentences = " ".join(
        f"{'Once' if count == 1 else f'{count} times'}: {examples[kind]}" for kind, count in common
    )
    rest = len(counts) - len(common)
    remainder = "1 other reason" if rest == 1 else f"{rest} other reasons"
    suffix = f" … and {remainder}." if rest > 0 else ""
    return EvalError(
        f"None of {len(reasons)} outputs could be scored. {sentences}{suffix} Mend this, then try "
        "again."
    )


_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
