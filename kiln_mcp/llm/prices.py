"""Prices of models, from litellm's table, which is read without importing litellm."""

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from kiln_mcp.llm.abilities import Abilities, Ability
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest, Usage

CHARACTERS_PER_TOKEN: Final = 4
_LONGER: Final = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
TABLE: Final = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a token.

    Attributes:
        per_input_token: A token of the request.
        per_output_token: A token of the answer, reasoning included.
        per_cached_token: A token of the request that the server had in its cache.
        per_written_token: A token of the request that the server wrote to its cache; None for the
            price of any token of the request.
        above: Prices of whole calls whose request is longer than a number of tokens, in order.
    """

    per_input_token: float
    per_output_token: float
    per_cached_token: float
    above: tuple[tuple[int, "Price"], ...] = ()
    per_written_token: float | None = None

    def cost_usd(
        self,
        input_tokens: int,
        output_tokens: int,
        cached_tokens: int = 0,
        written_tokens: int = 0,
    ) -> float:
        """Return the price of a call.

        Args:
            input_tokens: Tokens read, those of the server's cache included.
            output_tokens: Tokens written.
            cached_tokens: Input tokens that came from the server's cache.
            written_tokens: Other input tokens, which the server wrote to its cache.
        """
        for tokens, price in reversed(self.above):
            if input_tokens > tokens:
                return price.cost_usd(input_tokens, output_tokens, cached_tokens, written_tokens)
        written_price = self.per_written_token
        if written_price is None:
            written_price = self.per_input_token
        return (
            (input_tokens - cached_tokens - written_tokens) * self.per_input_token
            + cached_tokens * self.per_cached_token
            + written_tokens * written_price
            + output_tokens * self.per_output_token
        )


FREE: Final = Price(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The entry of a model in litellm's table; None for what is not in it."""

    price: Price | None
    context_tokens: int | None
    abilities: Abilities


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Mapping[str, Any]]:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, TABLE)
        if file.is_file():
            return json.loads(file.read_text(encoding="utf-8"))
    return {}


@lru_cache(maxsize=512)
def litellm_facts(model: str) -> ModelFacts | None:
    """Return a model's entry in litellm's table; None if there is none."""
    entry = _table().get(model) or _table().get(model.partition("/")[2])
    if entry is None:
        return None
    return ModelFacts(
        price=_price(entry),
        context_tokens=entry.get("max_input_tokens"),
        abilities=Abilities(
            json_schema=_ability(entry.get("supports_response_schema")),
            tools=_ability(entry.get("supports_function_calling")),
            streaming=_ability(entry.get("supports_native_streaming")),
        ),
    )


def _ability(flag: bool | None) -> Ability:
    if flag is None:
        return Ability.UNKNOWN
    return Ability.YES if flag else Ability.NO


def litellm_price(model: str) -> Price | None:
    """Return a hosted model's price, or None if it is not known."""
    facts = litellm_facts(model)
    return None if facts is None else facts.price


def litellm_abilities(model: str) -> Abilities:
    """Return a model's abilities by litellm's table."""
    facts = litellm_facts(model)
    return Abilities() if facts is None else facts.abilities


def hosted_names() -> list[str]:
    """Return the names of all chat models in litellm's table, with their provider in front."""
    return [
        name if "/" in name else f"{entry.get('litellm_provider')}/{name}"
        for name, entry in _table().items()
        if entry.get("mode") in {"chat", "responses"}
    ]


@lru_cache(maxsize=1)
def providers() -> frozenset[str]:
    """Return the providers in litellm's table; none if the table is missing."""
    names = {str(entry.get("litellm_provider")) for entry in _table().values()}
    return frozenset(names | {name.partition("/")[0] for name in _table() if "/" in name})


def _price(entry: Mapping[str, Any]) -> Price | None:
    """Return the price in an entry, which may state long requests in one of two ways."""
    tiers = [tier for tier in entry.get("tiered_pricing") or () if "range" in tier]
    first, *longer = sorted(tiers, key=lambda tier: tier["range"][0]) or [entry]
    above = [(int(tier["range"][0]), _price_at(tier)) for tier in longer]
    lengths = [match[1] for match in map(_LONGER.fullmatch, entry) if match]
    above += [(int(k) * 1000, _price_at(entry, f"_above_{k}k_tokens")) for k in lengths]
    price = _price_at(first)
    if price is None:
        return None
    valid_tiers = [(tokens, tier_price) for tokens, tier_price in above if tier_price is not None]
    return replace(price, above=tuple(sorted(valid_tiers, key=lambda tier: tier[0])))


def _price_at(entry: Mapping[str, Any], suffix: str = "") -> Price | None:
    """Return the price at one length of requests; missing values are those of shorter ones."""
    read, output, cached, cache_write = (
        entry.get(f"{key}{suffix}", entry.get(key))
        for key in (
            "input_cost_per_token",
            "output_cost_per_token",
            "cache_read_input_token_cost",
            "cache_creation_input_token_cost",
        )
    )
    if read is None or output is None:
        return None
    return Price(
        float(read),
        float(output),
        float(read if cached is None else cached),
        per_written_token=None if cache_write is None else float(cache_write),
    )


def with_cost(answer: ModelAnswer, price: Price | None) -> ModelAnswer:
    """Return the answer with its cost, None if the price is not known."""
    usage = answer.usage
    cost = (
        None
        if price is None
        else price.cost_usd(
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.written_tokens
        )
    )
    return replace(answer, usage=replace(usage, cost_usd=cost))


def with_token_count(answer: ModelAnswer, request: ModelRequest) -> ModelAnswer:
    """Return the answer with a rough count of its tokens if its server gave none."""
    usage = answer.usage
    if usage.input_tokens or usage.output_tokens:
        return answer
    calls = sum(len(call.name) + len(call.arguments) for call in answer.tool_calls)
    characters = len(answer.text) + len(answer.reasoning) + calls
    return replace(answer, usage=rough_usage(request, characters))


def rough_usage(request: ModelRequest, characters: int, price: Price | None = None) -> Usage:
    """Estimate the usage of a request and of the characters of its answer."""
    request_characters = sum(len(message.content) for message in request.messages)
    tokens = -(-request_characters // CHARACTERS_PER_TOKEN), -(-characters // CHARACTERS_PER_TOKEN)
    return Usage(*tokens, cost_usd=None if price is None else price.cost_usd(*tokens))
