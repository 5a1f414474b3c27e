"""What the capabilities about work orders answer."""

from pydantic import Field, JsonValue

from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class OrderMessage(Result):
    """One message of a work order."""

    role: str
    content: str


class Order(Result):
    """A work order: answer its messages, and nothing else."""

    id: str
    messages: list[OrderMessage]
    answer_schema: dict[str, JsonValue] | None = None
    choices: list[str] | None = None


class OrderList(Result):
    """Work orders for the assistant."""

    orders: list[Order]
    still_waiting: int
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class OrderVerdict(Result):
    """What became of an answer."""

    id: str
    accepted: bool
    problem: str | None = None


class OrderVerdicts(Result):
    """What became of the answers."""

    answers: list[OrderVerdict]
    still_waiting: int
