"""What the capabilities about models answer."""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field

from kiln_mcp.llm.abilities import TITLES, Abilities, Ability
from kiln_mcp.llm.prices import FREE, Price
from kiln_mcp.llm.providers.descriptions import ModelDescription
from kiln_mcp.llm.trial import Trial
from kiln_mcp.workbench.capability import Result


class ModelEntry(Result):
    """A model that can be named."""

    name: str
    also: list[str] | None = Field(
        default=None, description="More models of its server, of which all of this holds too."
    )
    more: str | None = None
    ready: bool | None = Field(default=None, description="Left out where it is not known.")
    note: str | None = Field(
        default=None, description="Left out: that of the model before it, of the same server."
    )
    price: str
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    context_tokens: int | None = None
    can: str | None = Field(
        default=None,
        description="`seen`: an answer showed it. `in words`: asked in words, checked.",
    )
    cannot: str | None = None
    not_known: str | None = Field(default=None, description="test_model finds it out.")


class ModelList(Result):
    """The models that can be used here."""

    default: str
    models: list[ModelEntry]
    others: str


class ModelTest(Result):
    """What a model said to a short question, and what further ones showed that it can do."""

    model: str
    answer: str
    latency_s: float
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    price: str
    can: str | None = Field(default=None, description="`seen`: an answer showed it.")
    cannot: str | None = None
    not_known: str | None = None
    problems: list[str] = Field(default_factory=list)


def model_entry(model: ModelDescription) -> ModelEntry:
    """Return a model with its price for a million tokens."""
    price = model.price
    known = _known(model.abilities)
    return ModelEntry(
        name=model.name,
        also=list(model.siblings) or None,
        more=f"And {model.unlisted_count} more: name one in `models`."
        if model.unlisted_count
        else None,
        ready=model.ready,
        note=model.note or None,
        price=said_of_price(price),
        input_usd_per_million=None if price is None else round(price.per_input_token * 1e6, 4),
        output_usd_per_million=None if price is None else round(price.per_output_token * 1e6, 4),
        context_tokens=model.context_tokens,
        can=known.can,
        cannot=known.cannot,
        not_known=known.not_known,
    )


def model_test(model: str, trial: Trial) -> ModelTest:
    """Return what a model answered, and what that taught."""
    known = _known(trial.description.abilities)
    return ModelTest(
        model=model,
        answer=trial.answer.text,
        latency_s=round(trial.answer.latency_s, 3),
        calls=trial.usage.calls,
        input_tokens=trial.usage.input_tokens,
        output_tokens=trial.usage.output_tokens,
        cost_usd=trial.usage.cost_usd,
        price=said_of_price(trial.description.price),
        can=known.can,
        cannot=known.cannot,
        not_known=known.not_known,
        problems=list(trial.problems),
    )


_HOW = {Ability.SEEN, Ability.REFUSED, Ability.IN_WORDS}


class _Known(NamedTuple):
    can: str | None
    cannot: str | None
    not_known: str | None


def _known(abilities: Abilities) -> _Known:
    """Return what can be done, what cannot, and what is not known, in words."""
    by_feature = abilities.by_feature().items()

    def those(wanted: Callable[[Ability], bool]) -> str | None:
        named = [
            f"{TITLES[feature]} ({how.value})" if how in _HOW else TITLES[feature]
            for feature, how in by_feature
            if wanted(how)
        ]
        return ", ".join(named) or None

    return _Known(
        those(lambda how: how.is_there),
        those(lambda how: how.is_missing),
        those(lambda how: how is Ability.UNKNOWN),
    )


def said_of_price(price: Price | None) -> str:
    """Return what a model costs, in words."""
    if price is None:
        return "price not known"
    if price == FREE:
        return "free"
    input_usd, output_usd = price.per_input_token * 1e6, price.per_output_token * 1e6
    return f"${input_usd:.4g} read, ${output_usd:.4g} written, a million tokens"
