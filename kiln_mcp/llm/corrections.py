"""The corrections of a request: its answers so far, their problems and their usage."""

from dataclasses import replace
from typing import Final

from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.response_cache.cache import CacheEntry
from kiln_mcp.llm.schemas import correction

MOST_CORRECTIONS: Final = 2


class Corrections:
    """The answers to a request so far, corrections included.

    Attributes:
        next_request: The request to send next; None at the end.
        problem: The problem with the newest answer; None if it fits.
    """

    def __init__(self, request: ModelRequest) -> None:
        self.next_request: ModelRequest | None = request
        self.problem: str | None = None
        self._request = request
        self._answers: list[ModelAnswer] = []
        self._askers: list[str] = []

    def take(self, entry: CacheEntry) -> None:
        """Take an answer; ask for a correction if it has a problem, at most twice."""
        self._answers.append(entry.answer)
        self._askers.append(entry.asker)
        self.problem = entry.problem
        if (
            self.next_request is None
            or entry.problem is None
            or len(self._answers) > MOST_CORRECTIONS
        ):
            self.next_request = None
        else:
            self.next_request = self.next_request.with_messages(
                *correction(entry.answer, entry.problem)
            )

    def is_cached_failure(self, own: str | None) -> bool:
        """Return whether all answers came from the response cache, and none fits.

        Then the request is worth asking anew, because the server may have been repaired. A job does
        not repeat its own requests, or it would pay again whenever it is resumed.

        Args:
            own: The prefix of all askers of the job that asks; None outside of jobs.
        """
        if self.next_request is not None or self.problem is None:
            return False
        if not all(answer.is_cached for answer in self._answers):
            return False
        return own is None or not all(asker.startswith(own) for asker in self._askers)

    def answer(self) -> ModelAnswer:
        """Return the answer that fits, with the usage of all answers.

        Raises:
            BadAnswer: None fits.
        """
        if self.problem is not None:
            raise BadAnswer(self._request.model, self.problem, len(self._answers))
        first, *corrections = self._answers
        if not corrections:
            return first
        usage = sum((answer.usage for answer in corrections), first.usage)
        is_cached = all(answer.is_cached for answer in self._answers)
        return replace(self._answers[-1], usage=usage, is_cached=is_cached)
