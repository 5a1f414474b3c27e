"""Errors about evals.

storage.errors.WorkbenchError
└── EvalError
    ├── UnusableTemplate      a Jinja template or expression cannot be used
    ├── ExtractionFailed      an expression finds nothing usable in an output
    ├── UnusableVerdict       a judge's answer holds no score
    ├── UnsupportedEvaluator  this kind of evaluator does not run here
    ├── UnsupportedRunConfig  this kind of run config does not run here
    ├── NothingToEvaluate     there is no item, or no judge
    ├── NoSplit               a new eval's items cannot be told
    ├── RunConfigExists       a run config of this name is there already
    ├── EvalExists            an eval of this name is there already
    ├── AllFailed             no item of a run could be scored
    └── NotComparable         two run configs share no scored item
"""

import re
from collections import Counter
from collections.abc import Sequence

from kiln_mcp.run_configs.errors import EvalError


class NothingToEvaluate(EvalError):
    """There is no item, or no judge."""


class NoSplit(EvalError):
    """A new eval's items cannot be told: no split was dealt, or several were."""

    def __init__(self, name: str, splits: Sequence[str], alone: Sequence[str] = ()) -> None:
        if alone and not splits:
            super().__init__(
                f"The new eval {name!r} could not tell its items: no split has its name, and none "
                f"has more parts than test. Give new_eval.test_filter, such as 'tag::{alone[0]}'."
            )
        elif splits:
            named = ", ".join(splits)
            super().__init__(
                f"The new eval {name!r} could take its items from {len(splits)} splits: {named}. "
                f"Give new_eval.test_filter, such as 'tag::test_{splits[0]}', and the other "
                "filters of that split."
            )
        else:
            super().__init__(
                f"The new eval {name!r} would have no items: the task has no split. Call "
                "split_data first, or give new_eval.test_filter."
            )


class EvalExists(EvalError):
    """An eval of this name is there already, so it cannot be made anew."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The eval {name!r} exists already, so new_eval cannot apply. Leave new_eval out to "
            "add an evaluator to it, or choose another name for a new eval."
        )


class AllFailed(EvalError):
    """No item of a run could be scored."""

    def __init__(self, reasons: Sequence[str]) -> None:
        # Sentences that differ in their numbers alone tell the same.
        alike = Counter(_NUMBER.sub("0", reason) for reason in reasons)
        first = {_NUMBER.sub("0", reason): reason for reason in reversed(reasons)}
        common = alike.most_common(3)
        said = " ".join(
            f"{'Once' if count == 1 else f'{count} times'}: {first[kind]}" for kind, count in common
        )
        rest = len(alike) - len(common)
        others = "1 other reason" if rest == 1 else f"{rest} other reasons"
        more = f" … and {others}." if rest > 0 else ""
        super().__init__(
            f"None of {len(reasons)} outputs could be scored. {said}{more} Mend this, then try "
            "again."
        )


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class NotComparable(EvalError):
    """Two run configs share no scored item."""

    def __init__(self, first: str, second: str, counts: Sequence[int]) -> None:
        super().__init__(
            f"{first!r} and {second!r} cannot be compared: no item was scored for both "
            f"({counts[0]} and {counts[1]} scored items). Call run_eval for both first."
        )
