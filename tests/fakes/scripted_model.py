"""Models for tests: their answers are written beforehand."""

import re
from collections.abc import Callable, Sequence

import anyio.lowlevel

from kiln_mcp.llm.deltas import AnswerStream, TextDelta, deltas_of
from kiln_mcp.llm.errors import RejectedRequest
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest, Usage

Answer = str | ModelAnswer
WORDS_PER_TOKEN = 0.75
_WORD = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")


class ScriptedModel:
    """Answers from a list, in order, or from a function of the request.

    Attributes:
        requests: Every request that was asked, in order.
    """

    def __init__(
        self,
        answers: Sequence[Answer | Exception] | Callable[[ModelRequest], Answer],
        *,
        repeat: bool = False,
    ) -> None:
        """Write the answers.

        Args:
            answers: Texts, whole answers, errors to raise, or a function of the request.
            repeat: Whether a list starts again at its end.
        """
        self._answers = answers
        self._repeat = repeat
        self.requests: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Give the next answer."""
        await anyio.lowlevel.checkpoint()
        position = len(self.requests)
        self.requests.append(request)
        if callable(self._answers):
            return whole_answer(self._answers(request), request)
        if position >= len(self._answers) and not self._repeat:
            raise RejectedRequest(
                request.model, f"the script has only {len(self._answers)} answers."
            )
        answer = self._answers[position % len(self._answers)]
        if isinstance(answer, Exception):
            raise answer
        return whole_answer(answer, request)

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Give the next answer word by word."""
        answer = await self.complete(request)
        for delta in deltas_of(answer):
            if isinstance(delta, TextDelta):
                for word in _WORD.findall(delta.text):
                    await anyio.lowlevel.checkpoint()
                    yield TextDelta(word)
            else:
                yield delta
        yield answer


def whole_answer(answer: Answer, request: ModelRequest) -> ModelAnswer:
    """Return an answer with a rough token count, where only its text is given."""
    if isinstance(answer, ModelAnswer):
        return answer
    words = sum(len(message.content.split()) for message in request.messages)
    usage = Usage(
        input_tokens=round(words / WORDS_PER_TOKEN),
        output_tokens=round(len(answer.split()) / WORDS_PER_TOKEN),
    )
    return ModelAnswer(text=answer, usage=usage)
