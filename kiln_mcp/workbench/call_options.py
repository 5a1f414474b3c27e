"""Arguments that the mechanism adds to capabilities: detail, approval, waiting, limits."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from kiln_mcp.llm import BudgetLimit

Detail = Literal["short", "full"]
LONGEST_WAIT_S: Final = 300.0
USUAL_WAIT_S: Final = 20.0
LIMIT_KINDS: Final = ("cost_usd", "tokens", "calls", "seconds")


LIMIT_OPTIONS: Final[Mapping[str, str]] = {
    "cost_usd": "limit_usd",
    "tokens": "limit_tokens",
    "calls": "limit_calls",
    "seconds": "limit_seconds",
}
"""The option of each kind of limit."""


class JobLimit(BaseModel):
    """The most that a job may spend; a kind that is left out is not limited."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    cost_usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, **amounts: float | None) -> Self:
        """Return a limit of the kinds that have an amount."""
        return cls.model_validate({k: v for k, v in amounts.items() if v is not None})

    def as_options(self) -> dict[str, JsonValue]:
        """Return the options that give this limit."""
        return limit_options(self.model_dump(exclude_none=True))

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


def limit_options(amounts: Mapping[str, float]) -> dict[str, JsonValue]:
    """Return the options that give a limit, by its amounts of each kind."""
    return {LIMIT_OPTIONS[kind]: amount for kind, amount in amounts.items()}


LimitUsd = Annotated[float | None, Field(ge=0)]
LimitTokens = Annotated[int | None, Field(ge=0)]
LimitCalls = Annotated[int | None, Field(ge=0)]
LimitSeconds = Annotated[float | None, Field(ge=0)]


class CallOptions(BaseModel):
    """How a call is to be made, beside its arguments.

    Attributes:
        detail: Whether the answer is to be whole, or of about 2,000 tokens.
        approval_id: The approval that a person gave to this very call; it stands for all arguments.
        wait_s: How long the caller waits for a job before it gets the job's state instead.
        limit_usd: The most US dollars that the job may spend; None for no limit, as below.
        limit_tokens: The most tokens, read and written.
        limit_calls: The most model calls.
        limit_seconds: The most seconds of work in all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    detail: Detail = "short"
    approval_id: str | None = None
    wait_s: Annotated[
        float,
        Field(ge=0, le=LONGEST_WAIT_S),
    ] = USUAL_WAIT_S
    limit_usd: LimitUsd = None
    limit_tokens: LimitTokens = None
    limit_calls: LimitCalls = None
    limit_seconds: LimitSeconds = None

    @property
    def limit(self) -> JobLimit:
        """The most that the job may spend."""
        return JobLimit.of(
            cost_usd=self.limit_usd,
            tokens=self.limit_tokens,
            calls=self.limit_calls,
            seconds=self.limit_seconds,
        )

    @classmethod
    def fields_of(cls, names: tuple[str, ...]) -> Mapping[str, tuple[object, object]]:
        """Return the annotations and defaults of options, as a model is made from them."""
        return {
            name: (Annotated[field.annotation, field], field.default)
            for name, field in cls.model_fields.items()
            if name in names
        }
