"""The users whom a model plays in the conversations of a plan: who they are and what they want."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import EMBEDDED
from kiln_mcp.synthesis.data_plan import DataPlan
from storage import Task
from storage.errors import NextStep, Refusal

FIELDS: Final = ("persona", "goal", "gives_up")
"""What a plan's writer says of a user beside their first message."""


@dataclass(frozen=True, slots=True)
class UserCase:
    """A user of a conversation.

    Attributes:
        persona: Who they are and how they write.
        goal: What they have when the conversation has served them.
        gives_up: When they stop asking; "" if nothing says so.
    """

    persona: str
    goal: str
    gives_up: str = ""

    @classmethod
    def of(cls, value: Mapping[str, JsonValue]) -> "UserCase | None":
        """Return the user that an answer names; None if it names no goal."""
        persona, goal, gives_up = (str(value.get(name) or "").strip() for name in FIELDS)
        return cls(persona or "A person.", goal, gives_up) if goal else None

    @property
    def guidance(self) -> str:
        """How the model that plays the user is told to behave."""
        return f"You give up: {self.gives_up}" if self.gives_up else ""


def own_case(value: JsonValue) -> UserCase | None:
    """Return the user of a case that the caller gives; None if it names no goal."""
    return UserCase.of(value) if isinstance(value, dict) else None


def opening_of(value: JsonValue) -> JsonValue:
    """Return the first message of such a case; "" if it has none."""
    return value.get("input") or "" if isinstance(value, dict) else ""


def check_conversations(plan: DataPlan, task: Task) -> None:
    """Refuse a plan of conversations that cannot be held.

    Raises:
        Refusal: The task has schemas, an input of the caller names no user, or the embedded model
            would play users.
    """
    if not plan.turns:
        return
    reasons = {
        "the task has a schema, and conversations are text": bool(
            task.input_json_schema or task.output_json_schema
        ),
        "each of its inputs is to be an object with input and goal, and with persona and "
        "gives_up where that is known": not all(
            own_case(value) and opening_of(value) for value in plan.inputs
        ),
        "the embedded model follows no instructions, so it plays nobody": EMBEDDED
        in {plan.writer, plan.user_player},
    }
    reason = next((text for text, applies in reasons.items() if applies), "")
    if reason:
        raise Refusal(
            "The plan '{id}' cannot have conversations of {turns} turns: {reason}. Leave that out "
            "or name another model, or set turns to 0 for single questions.",
            id=plan.id,
            turns=plan.turns,
            reason=reason,
            next=[NextStep(tool="generate_data", reason="plan it again")],
        )
