"""Errors of the server's own rooms; the store's are in `storage.errors`.

    storage.errors.WorkbenchError  the root: its text is one sentence for the reader
    ├── InvalidArguments           a call's arguments do not fit the capability
    ├── UnknownCapability          no capability has this name
    ├── ApprovalNeeded             a person must agree before this is done
    └── llm.errors.ModelError      everything about models (kiln_mcp/llm/errors.py)
"""

from dataclasses import dataclass

from storage.errors import WorkbenchError


class InvalidArguments(WorkbenchError):  # noqa: N818 - errors are named by their cause
    """A call's arguments do not fit the capability's schema."""


class UnknownCapability(WorkbenchError):  # noqa: N818
    """No capability has this name."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a capability would do, said before it is done.

    Attributes:
        summary: One sentence: what will happen.
        calls: Model calls expected, 0 for none.
        cost_usd: Expected cost in US dollars; None where the model's price is not known.
    """

    summary: str
    calls: int = 0
    cost_usd: float | None = 0.0


class ApprovalNeeded(WorkbenchError):  # noqa: N818
    """A person must agree before this is done; nothing has been done yet.

    A door that can ask the person does, and calls again with `confirm=True`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        price = "at a price that is not known" if plan.cost_usd is None else f"≈ ${plan.cost_usd:.4f}"
        effort = f" It takes about {plan.calls} model calls, {price}." if plan.calls else ""
        super().__init__(
            f"{plan.summary}{effort} Nothing has been done yet. Ask the person, and when they "
            "agree call again with confirm=true."
        )
