"""A model whose answers were recorded, and the orders that have no recorded answer yet."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from kiln_mcp.llm import ModelAnswer, ModelRequest
from kiln_mcp.llm.deltas import AnswerStream, deltas_of
from kiln_mcp.llm.errors import RejectedRequest

RECORDED: Final = Path(__file__).with_name("recorded")


def key_of(request: ModelRequest) -> str:
    """Return what a recorded answer is found by: the material that the request shows."""
    return hashlib.sha256(request.messages[-1].content.encode()).hexdigest()[:16]


class RecordedModel:
    """Answers from a file of lines, each with `key` and `answer`.

    Attributes:
        open_orders: The requests without a recorded answer.
    """

    def __init__(self, path: Path) -> None:
        """Read the answers; a file that is not there has none."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._answers: dict[str, Any] = {
            item["key"]: item["answer"] for item in map(json.loads, lines)
        }
        self.open_orders: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Give the recorded answer.

        Raises:
            RejectedRequest: There is none.
        """
        if key_of(request) not in self._answers:
            self.open_orders.append(request)
            raise RejectedRequest(request.model, "no answer is recorded.")
        text = json.dumps(self._answers[key_of(request)], ensure_ascii=False)
        return ModelAnswer(text=text)

    async def stream(self, request: ModelRequest) -> AnswerStream:
        """Give the recorded answer in one piece."""
        answer = await self.complete(request)
        for delta in deltas_of(answer):
            yield delta
        yield answer
