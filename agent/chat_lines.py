"""The lines of a chat's file, which outlive the engine's own names."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from agent.approval_rules import ApprovalRecord
from agent.events import CostChanged
from kiln_mcp.llm import Message, ToolCall
from storage.text.excerpts import excerpt_line

LONGEST_TITLE: Final = 60
_BLOCKS: Final = ('<tool-result tool="workbench-state">', "Jobs have ended")
"""The beginnings of what stands before the person's words."""
_BLOCK_END: Final = "\n</tool-result>"
_NAMES: Final = {"user": "You", "assistant": "Copilot", "system": "Instructions", "tool": "Result"}


class _SavedLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        """Return the line as the file holds it."""
        return self.model_dump_json().encode() + b"\n"


class MessageLine(_SavedLine):
    """A message."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the line of a message."""
        role = "user" if message.role == "raw" else message.role
        return cls(
            role=role,
            text=message.content,
            calls=message.tool_calls,
            call_id=message.tool_call_id,
        )

    def to_message(self) -> Message:
        """Return the message of the line."""
        return Message(self.role, self.text, self.calls, self.call_id)


class PartLine(_SavedLine):
    """The beginning of an answer that was not whole when it was written."""

    part: str


class TitleLine(_SavedLine):
    """A title that replaces the earlier ones."""

    title: str


class CostLine(_SavedLine):
    """What the chat has cost by then; None if the line is older than the count."""

    cost_usd: float
    tokens: int
    calls: int
    unpriced_calls: int | None = None

    @classmethod
    def of(cls, cost: CostChanged) -> Self:
        """Return the line of what the calls have taken so far."""
        return cls(
            cost_usd=cost.cost_usd,
            tokens=cost.tokens,
            calls=cost.calls,
            unpriced_calls=cost.unpriced_calls,
        )


class ApprovalLine(_SavedLine):
    """The answer to a question: what was approved, by whom and when."""

    approval: Literal["accept", "remember", "decline", "cancel"]
    by: str
    at: datetime
    tool: str
    project: str
    plan: str
    effects: tuple[str, ...]
    cost_usd: float | None
    destinations: tuple[str, ...]

    @classmethod
    def of(cls, record: ApprovalRecord, mask: Callable[[str], str]) -> Self:
        """Return the line of an answer, with secrets masked."""
        question = record.question
        return cls(
            approval=record.reply,
            by=record.by,
            at=datetime.fromtimestamp(record.at, UTC),
            tool=question.tool,
            project=mask(question.project),
            plan=mask(question.plan),
            effects=tuple(effect.value for effect in question.effects),
            cost_usd=question.cost_usd,
            destinations=tuple(map(mask, question.destinations)),
        )


Line = MessageLine | PartLine | TitleLine | CostLine | ApprovalLine
_LINE: Final = TypeAdapter[Line](Line)


def read_lines(content: bytes) -> tuple[list[Line], int]:
    """Return the lines of a file, and how many are left out because they cannot be read."""
    lines: list[Line] = []
    unreadable_count = 0
    for line in content.split(b"\n"):
        try:
            lines.append(_LINE.validate_json(line))
        except ValidationError:
            unreadable_count += bool(line.strip())
    return lines, unreadable_count


def title_of(lines: Iterable[Line]) -> str:
    """Return the last title of a chat, or the person's first words; empty if there are none."""
    first_words, title = "", ""
    for line in lines:
        match line:
            case TitleLine():
                title = line.title
            case MessageLine(role="user") if not first_words:
                first_words = excerpt_line(person_words(line.text), LONGEST_TITLE)
            case _:
                pass
    return title or first_words


def person_words(text: str) -> str:
    """Return a message of the person without the state and the reports in front of it."""
    while True:
        block, end, rest = text.lstrip("\n").partition(_BLOCK_END)
        if not end or not block.startswith(_BLOCKS):
            return text.strip()
        text = rest


def as_markdown(line: Line, number: int) -> str:
    """Return a line as Markdown; empty for what an export leaves out."""
    match line:
        case MessageLine(role="system"):
            return ""
        case MessageLine():
            calls = "".join(f"\n\n`{call.name}` {_code(call.arguments)}" for call in line.calls)
            body = _body(line)
            return f"## {number}. {_NAMES[line.role]}\n\n{body}{calls}"
        case ApprovalLine():
            when = line.at.strftime("%Y-%m-%d %H:%M UTC")
            return f"> **{line.approval}** by {line.by}, {when}: {' '.join(line.plan.split())}"
        case _:
            return ""


def _body(line: MessageLine) -> str:
    """Return a message for a reader: the person's without the state that the model was told."""
    if line.role == "user":
        return person_words(line.text) or _code(line.text)
    return _code(line.text) if line.role == "tool" else line.text


def _code(text: str) -> str:
    """Return a text as a block of code that nothing inside it can close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"\n\n{fence}\n{text}\n{fence}"
