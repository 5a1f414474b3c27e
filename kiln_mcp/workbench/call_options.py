"""Arguments that the mechanism adds to capabilities: detail, approval, waiting, limits."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kiln_mcp.llm import BudgetLimit

Detail = Literal["short", "full"]
LONGEST_WAIT_S: Final = 300.0
USUAL_WAIT_S: Final = 20.0
LIMIT_KINDS: Final = ("cost_usd", "tokens", "calls", "seconds")


class JobLimit(BaseModel):
    """The most that a job may spend; a kind that is left out is not limited."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cost_usd: Annotated[float | None, Field(ge=0, description="US dollars.")] = None
    tokens: Annotated[int | None, Field(ge=0, description="Tokens read and written.")] = None
    calls: Annotated[int | None, Field(ge=0, description="Model calls.")] = None
    seconds: Annotated[float | None, Field(ge=0, description="Seconds of work in all.")] = None

    def as_budget(self) -> BudgetLimit:
        """Return the limit as the engine takes it."""
        return BudgetLimit(self.cost_usd, self.tokens, self.calls, self.seconds)

    def override(self, earlier: BudgetLimit) -> BudgetLimit:
        """Return an earlier limit with the kinds of this one; kinds that are left out stay."""
        own = self.as_budget()
        return BudgetLimit(
            **{
                kind: getattr(own if kind in self.model_fields_set else earlier, kind)
                for kind in LIMIT_KINDS
            }
        )


NO_LIMIT: Final = JobLimit.model_construct()  # builds no validator at import


class CallOptions(BaseModel):
    """How a call is to be made, beside its arguments.

    Attributes:
        detail: Whether the answer is to be whole, however long it is.
        approval_id: The approval that a person gave to this very call; None for none.
        wait_s: How long the caller waits for a job before it gets the job's state instead.
        limit: The most that the job may spend.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    detail: Annotated[
        Detail,
        Field(description="full: uncut; short: about 2,000 tokens."),
    ] = "short"
    approval_id: Annotated[
        str | None,
        Field(description="Only after the person has approved this call's plan: its approval id."),
    ] = None
    wait_s: Annotated[
        float,
        Field(
            ge=0,
            le=LONGEST_WAIT_S,
            description="Seconds to wait for the result; after that the job's state is returned.",
        ),
    ] = USUAL_WAIT_S
    limit: Annotated[
        JobLimit, Field(description="The most that it may spend; it stops cleanly there.")
    ] = NO_LIMIT

    @classmethod
    def fields_of(cls, names: tuple[str, ...]) -> Mapping[str, tuple[object, object]]:
        """Return the annotations and defaults of options, as a model is made from them."""
        return {
            name: (Annotated[field.annotation, field], field.default)
            for name, field in cls.model_fields.items()
            if name in names
        }
