"""Questions to the person that an answer ends with: a door that reaches the person asks them."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, JsonValue


class AnswerPlace(BaseModel):
    """Where a call takes an answer: as one entry of a list argument.

    Attributes:
        argument: The list argument.
        entry: The other fields of the entry.
        field: The entry's field that holds the answer.
        tool: The capability, if it is another one than that whose answer asks; the answer that
            asks is then kept, less what was answered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    argument: str
    entry: Mapping[str, JsonValue]
    field: str
    tool: str | None = None


class PersonQuestion(BaseModel):
    """A question, and the calls about the work that it belongs to.

    Attributes:
        id: What names it in a call.
        text: What the person reads.
        options: Answers to choose from; the person may also use words of their own.
        tool: The capability whose answer asks it.
        arguments: Of a call that reads where the work stands.
        reply_arguments: What a call with an answer needs beside them.
        place: Where an answer goes; None for `answers`, by the question's id.
        has_own_words: Whether words of the person's own are an answer too.
        limit: The most questions of this kind that one call asks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    text: str
    options: Sequence[str]
    tool: str
    arguments: dict[str, JsonValue]
    reply_arguments: dict[str, JsonValue] = {}
    place: AnswerPlace | None = None
    has_own_words: bool = True
    limit: int = 5

    @property
    def reply_tool(self) -> str:
        """The capability that takes the answer."""
        return self.tool if self.place is None or self.place.tool is None else self.place.tool

    @property
    def is_aside(self) -> bool:
        """Whether another capability takes the answer, so that the answer that asks is kept."""
        return self.reply_tool != self.tool

    def call_with(self, answer: str) -> dict[str, JsonValue]:
        """Return the arguments of the call that passes an answer on."""
        place = self.place or AnswerPlace(
            argument="answers", entry={"question": self.id}, field="answer"
        )
        entries: list[JsonValue] = [{**place.entry, place.field: answer}]
        return {**self.arguments, **self.reply_arguments, place.argument: entries}
