"""Errors of rating and tagging runs."""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class NothingToRate(WorkbenchError):
    """A rating holds nothing."""

    def __init__(self) -> None:
        super().__init__("Nothing was rated. Give `stars`, `scores` or both.")


class UnknownScore(WorkbenchError):
    """The task's outputs are not rated by this."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        evals = f"There are: {', '.join(names)}." if names else "The task has no eval yet."
        super().__init__(
            f"No eval or requirement of the task has a score '{name}'. {evals} Nothing was rated."
        )


class UnusableRating(WorkbenchError):
    """A score's scale has no such rating."""

    def __init__(self, name: str, value: str, valid: Sequence[str]) -> None:
        super().__init__(
            f"'{name}' cannot be rated {value[:40]!r}: valid are {', '.join(valid)}. Nothing was "
            "rated."
        )


class NothingToTag(WorkbenchError):
    """There is no tag to add and none to take away."""

    def __init__(self) -> None:
        super().__init__("No run was tagged. Give tags to `add`, to `remove`, or both.")


class TagBothWays(WorkbenchError):
    """A tag is to be added and taken away."""

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__(
            f"No run was tagged: {', '.join(tags)} cannot be added and taken away at once. Name "
            "a tag in `add` or in `remove`."
        )


class UnusableTag(WorkbenchError):
    """A tag that people could not read or type."""

    def __init__(self, tag: str, longest: int) -> None:
        super().__init__(
            f"The tag {tag[:40]!r} cannot be used. A tag has 1 to {longest} characters that can be "
            "seen, and no spaces. Nothing was tagged."
        )
