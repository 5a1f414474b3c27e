"""Whether a regular expression is found in a text, in time that is linear in the text.

RE2 answers in this process where it means the same as Python's `re` and the work is bounded; a
worker answers the rest with `re`.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from storage.isolation.constant_patterns import Constant, constant_answer
from storage.isolation.outcomes import Failed, Invalid, Outcome, Value
from storage.isolation.translation import translate
from storage.isolation.worker_tasks import Reply

if TYPE_CHECKING:
    from storage.isolation.pool import WorkerPool

_LONGEST_PATTERN: Final = 1000
_MOST_STEPS: Final = 20_000_000
"""Size of the program times length of the text: some tenths of a second at the worst."""
_MOST_MEMORY: Final = 4 * 1024 * 1024


class LinearPattern:
    """A pattern that RE2 runs."""

    def __init__(self, pattern: str) -> None:
        """Compile the pattern.

        Raises:
            ValueError: RE2 has nothing that means the same.
        """
        import re2 as untyped

        re2: Any = untyped
        translation = translate(pattern) if len(pattern) <= _LONGEST_PATTERN else None
        if translation is None:
            raise ValueError("it has no linear form")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MOST_MEMORY
        try:
            self._regex = re2.compile(translation.pattern, options)
        except re2.error as error:
            raise ValueError("RE2 does not take it") from error
        self._translation = translation
        self._most_characters = _MOST_STEPS // max(1, self._regex.programsize)

    def find(self, text: str) -> bool | None:
        """Return whether the pattern is found in a text; None if only a worker can tell."""
        needs = self._translation
        if (
            len(text) > self._most_characters
            or (needs.ascii_only and not (text and text.isascii()))
            or (needs.no_last_line_end and text.endswith("\n"))
        ):
            return None
        try:
            return self._regex.search(text) is not None
        except UnicodeEncodeError:  # a lone surrogate
            return None


@lru_cache(maxsize=256)
def linear_pattern(pattern: str) -> LinearPattern | None:
    """Return a pattern as one that RE2 runs; None if a worker must run it."""
    try:
        return LinearPattern(pattern)
    except ValueError:
        return None


def found_at_once(pattern: str, text: str) -> bool | None:
    """Return whether a pattern is found in a text; None if only a worker can tell."""
    linear = linear_pattern(pattern)
    return None if linear is None else linear.find(text)


async def find_pattern(pool: "WorkerPool", pattern: str, text: str) -> bool | Invalid | Failed:
    """Return whether a pattern is found in a text, as `re.search` finds it."""
    at_once = found_at_once(pattern, text)
    if at_once is not None:
        return at_once
    return _answer(await pool.ask("match", pattern, {"pattern": pattern, "text": text}))


async def check_pattern(pool: "WorkerPool", pattern: str) -> Invalid | Failed | None:
    """Return what is wrong with a pattern; None if it is valid."""
    outcome = await pool.ask("check_pattern", pattern, {"pattern": pattern})
    return None if isinstance(outcome, Value) else outcome


async def find_constant(pool: "WorkerPool", pattern: str) -> Constant | Invalid | Failed | None:
    """Return the answer that a pattern gives in every text; None if it depends on the text."""
    outcome = await pool.ask("check_pattern", pattern, {"pattern": pattern})
    if not isinstance(outcome, Value):
        return outcome
    return "never" if outcome.value == "never" else "always" if outcome.value else None


def _answer(outcome: Outcome) -> bool | Invalid | Failed:
    return bool(outcome.value) if isinstance(outcome, Value) else outcome


def run_match(pattern: str, text: str) -> Reply:
    """Run in a worker: search a text."""
    try:
        return {"value": re.search(pattern, text) is not None}
    except re.error as error:
        return {"invalid": str(error)}


def run_check_pattern(pattern: str) -> Reply:
    """Run in a worker: compile a pattern; return the answer that it gives in every text."""
    try:
        re.compile(pattern)
        return {"value": constant_answer(pattern)}
    except re.error as error:
        return {"invalid": str(error)}
