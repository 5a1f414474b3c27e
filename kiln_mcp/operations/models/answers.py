"""What the capabilities about models answer."""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field

from kiln_mcp.llm.abilities import TITLES, Abilities, Ability
from kiln_mcp.llm.model_probe import Trial
from kiln_mcp.llm.prices import FREE, Price
from kiln_mcp.llm.providers.descriptions import ModelDescription
from kiln_mcp.workbench.capability import Result


class ModelEntry(Result):
    """A model that can be named."""

    name: str
    siblings: list[str] | None = Field(
        default=None, description="More models of its server, with the same values."
    )
    hint: str | None = None
    ready: bool | None = Field(default=None, description="Left out if unknown.")
    note: str | None = Field(
        default=None, description="If left out, that of the previous model of the same server."
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
    lessons: list[str] | None = Field(
        default=None,
        description="How it is asked since its server refused another way; test_model resets it.",
    )


class ModelList(Result):
    """The models that can be used here."""

    default: str
    models: list[ModelEntry]
    other_models: str


class ModelTest(Result):
    """What a model answered to a short question, and what more questions showed."""

    model: str
    answer: str
    latency_s: float
    calls: int
    input_tokens: int
    output_tokens: int
    hidden_tokens: int | None = Field(
        default=None, description="Output tokens that the server counts only in its total."
    )
    cost_usd: float | None = None
    price: str
    can: str | None = Field(default=None, description="`seen`: an answer showed it.")
    cannot: str | None = None
    not_known: str | None = None
    lessons: list[str] | None = None
    problems: list[str] = Field(default_factory=list)


def model_entry(model: ModelDescription) -> ModelEntry:
    """Return the entry of a model, with its price for a million tokens."""
    price = model.price
    texts = _ability_texts(model.abilities)
    return ModelEntry(
        name=model.name,
        siblings=list(model.siblings) or None,
        hint=f"And {model.unlisted_count} more: name one in `models`."
        if model.unlisted_count
        else None,
        ready=model.ready,
        note=model.note or None,
        price=price_text(price),
        input_usd_per_million=None if price is None else round(price.per_input_token * 1e6, 4),
        output_usd_per_million=None if price is None else round(price.per_output_token * 1e6, 4),
        context_tokens=model.context_tokens,
        can=texts.can,
        cannot=texts.cannot,
        not_known=texts.not_known,
        lessons=list(model.lessons) or None,
    )


def model_test(model: str, trial: Trial) -> ModelTest:
    """Return what a model answered, and what it can do."""
    texts = _ability_texts(trial.description.abilities)
    return ModelTest(
        model=model,
        answer=trial.answer.text,
        latency_s=round(trial.answer.latency_s, 3),
        calls=trial.usage.calls,
        input_tokens=trial.usage.input_tokens,
        output_tokens=trial.usage.output_tokens,
        hidden_tokens=trial.usage.hidden_tokens or None,
        cost_usd=trial.usage.cost_usd,
        price=price_text(trial.description.price),
        can=texts.can,
        cannot=texts.cannot,
        not_known=texts.not_known,
        lessons=list(trial.description.lessons) or None,
        problems=list(trial.problems),
    )


_WITH_NOTE = {Ability.SEEN, Ability.REFUSED, Ability.IN_WORDS}


class _AbilityTexts(NamedTuple):
    can: str | None
    cannot: str | None
    not_known: str | None


def _ability_texts(abilities: Abilities) -> _AbilityTexts:
    """Return the features that a model has, lacks, and may have."""
    by_feature = abilities.by_feature().items()

    def features(condition: Callable[[Ability], bool]) -> str | None:
        titles = [
            f"{TITLES[feature]} ({ability.value})" if ability in _WITH_NOTE else TITLES[feature]
            for feature, ability in by_feature
            if condition(ability)
        ]
        return ", ".join(titles) or None

    return _AbilityTexts(
        features(lambda ability: ability.is_there),
        features(lambda ability: ability.is_missing),
        features(lambda ability: ability is Ability.UNKNOWN),
    )


def price_text(price: Price | None) -> str:
    """Return the price of a model in words."""
    if price is None:
        return "price not known"
    if price == FREE:
        return "free"
    read_usd, write_usd = price.per_input_token * 1e6, price.per_output_token * 1e6
    return f"${read_usd:.4g} read, ${write_usd:.4g} written, a million tokens"
