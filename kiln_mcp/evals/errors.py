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

from storage.errors import WorkbenchError


class EvalError(WorkbenchError):
    """Something about an eval prevents the result."""


class UnusableTemplate(EvalError):  # noqa: N818 - errors are named by their cause
    """A Jinja template or expression cannot be used."""

    def __init__(self, text: str, reason: str) -> None:
        shown = text if len(text) <= 80 else text[:79] + "…"
        super().__init__(
            f"The template {shown!r} cannot be used: {reason}. It may name final_message, "
            "task_input, trace and reference_data."
        )


class ExtractionFailed(EvalError):  # noqa: N818
    """An expression finds nothing usable in an output."""


class UnusableVerdict(EvalError):  # noqa: N818
    """A judge's answer holds no score."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The judge's answer holds no score: {reason}. Run the eval again, or use another "
            "judge."
        )


class UnsupportedEvaluator(EvalError):  # noqa: N818
    """This kind of evaluator does not run here."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(
            f"The evaluator {name!r} is of kind {kind}, which does not run here. Choose an "
            "llm_judge, a deterministic check, or make one with create_evaluator."
        )


class UnsupportedRunConfig(EvalError):  # noqa: N818
    """This kind of run config does not run here."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"The run config {name!r} does not run here: {why}. Make another with "
            "create_run_config."
        )


class NothingToEvaluate(EvalError):  # noqa: N818
    """There is no item, or no judge."""


class NoSplit(EvalError):  # noqa: N818
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


class RunConfigExists(EvalError):  # noqa: N818
    """A run config of this name is there already, and it never changes."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a run config '{name}' already, and run configs never change. Choose another "
            "name; nothing has been saved."
        )


class EvalExists(EvalError):  # noqa: N818
    """An eval of this name is there already, so it cannot be made anew."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The eval {name!r} exists already, so new_eval cannot apply. Leave new_eval out to "
            "add an evaluator to it, or choose another name for a new eval."
        )


class AllFailed(EvalError):  # noqa: N818
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


class NotComparable(EvalError):  # noqa: N818
    """Two run configs share no scored item."""

    def __init__(self, first: str, second: str, counts: Sequence[int]) -> None:
        super().__init__(
            f"{first!r} and {second!r} cannot be compared: no item was scored for both "
            f"({counts[0]} and {counts[1]} scored items). Call run_eval for both first."
        )
