"""The corrections of a request: its answers so far, their problems and their usage."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from kiln_mcp.llm.answer_checks import bad_answer
from kiln_mcp.llm.answer_schemas import correction
from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.response_cache.cache import CacheEntry

MOST_CORRECTIONS: Final = 2


class Corrections:
    """The answers to a request so far, corrections included.

    Attributes:
        next_request: The request to send next; None at the end.
        problem: The problem with the newest answer; None if it fits.
        state: The state of the newest answer.
    """

    def __init__(
        self, request: ModelRequest, accept: Collection[AnswerState] = ("complete",)
    ) -> None:
        """Begin with a request.

        Args:
            request: The request.
            accept: The states in which an answer may be used.
        """
        self.next_request: ModelRequest | None = request
        self.problem: str | None = None
        self.state: AnswerState = "complete"
        self._accept = accept
        self._request = request
        self._answers: list[ModelAnswer] = []
        self._askers: list[str] = []

    def take(self, entry: CacheEntry) -> None:
        """Take an answer; ask for a correction if it is unreadable, at most twice.

        A model that refuses, says nothing or reaches max_tokens would do so again.
        """
        self._answers.append(entry.answer)
        self._askers.append(entry.asker)
        self.problem, self.state = entry.problem, entry.state
        if (
            self.next_request is None
            or entry.problem is None
            or entry.state != "unreadable"
            or len(self._answers) > MOST_CORRECTIONS
        ):
            self.next_request = None
        else:
            self.next_request = self.next_request.with_messages(
                *correction(entry.answer, entry.problem)
            )

    def is_cached_failure(self, own: str | None) -> bool:
        """Return whether all answers came from the response cache, and none can be used.

        Then the request is worth repeating, because the server may have been repaired. A job does
        not repeat its own requests, or it would pay again whenever it is resumed.

        Args:
            own: The prefix of all askers of the job that asks; None outside of jobs.
        """
        if self.next_request is not None or self._is_usable:
            return False
        if not all(answer.is_cached for answer in self._answers):
            return False
        return own is None or not all(asker.startswith(own) for asker in self._askers)

    @property
    def _is_usable(self) -> bool:
        return self.state in self._accept and self.problem is None

    def answer(self) -> ModelAnswer:
        """Return the answer that can be used, with the usage of all answers.

        Raises:
            BadAnswer: None can.
        """
        if not self._is_usable:
            answer, count = self._answers[-1], len(self._answers)
            raise bad_answer(answer, self._request, self.state, self.problem or "", count)
        first, *corrections = self._answers
        if not corrections:
            return first
        usage = sum((answer.usage for answer in corrections), first.usage)
        is_cached = all(answer.is_cached for answer in self._answers)
        return replace(self._answers[-1], usage=usage, is_cached=is_cached)
