"""Work orders as the assistant sees them."""

from pydantic import Field, JsonValue

from kiln_mcp.llm import MARKER
from kiln_mcp.workbench.capability import Result


class OrderMessage(Result):
    """One message of a work order."""

    role: str
    content: str


class OrderItem(Result):
    """One order of a batch."""

    id: str
    content: str | None = Field(
        default=None, description=f"The text that stands for {MARKER}; left out: there is none."
    )


class Batch(Result):
    """Work orders that share their messages; answer each item on its own."""

    messages: list[OrderMessage]
    answer_schema: dict[str, JsonValue] | None = None
    choices: list[str] | None = None
    items: list[OrderItem]


class OrderProblem(Result):
    """An answer that cannot be used, and why."""

    id: str
    problem: str
