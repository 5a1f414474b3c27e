"""Questions to the person that an answer ends with: a door that reaches the person asks them."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, JsonValue


class PersonQuestion(BaseModel):
    """A question, and the calls about the work that it belongs to.

    Attributes:
        id: What names it in a call.
        text: What the person reads.
        options: Answers to choose from; the person may also use words of their own.
        tool: The capability that takes the answer as `answers`.
        arguments: Of a call that reads where the work stands.
        reply_arguments: What a call with an answer needs beside them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    text: str
    options: Sequence[str]
    tool: str
    arguments: dict[str, JsonValue]
    reply_arguments: dict[str, JsonValue] = {}

    def call_with(self, answer: str) -> dict[str, JsonValue]:
        """Return the arguments of the call that passes an answer on."""
        answers: list[JsonValue] = [{"question": self.id, "answer": answer}]
        return {**self.arguments, **self.reply_arguments, "answers": answers}
