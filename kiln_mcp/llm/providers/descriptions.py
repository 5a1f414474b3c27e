"""Descriptions of the models that can be named here, to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from kiln_mcp.llm.abilities import (
    EMBEDDED_ABILITIES,
    HOST_ABILITIES,
    LOCAL_ABILITIES,
    UNKNOWN,
    Abilities,
)
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.prices import FREE, Price, litellm_facts
from kiln_mcp.llm.providers.embedded_parts import check_embedded_model
from kiln_mcp.llm.providers.keys import find_key
from kiln_mcp.llm.providers.openai_server import ServerModel
from kiln_mcp.llm.providers.tuned_files import TunedModel

MODELS_PER_SERVER: Final = 10
NONE_LISTED: Final = "The server lists no models. Test one that you name."
KEY_UNKNOWN: Final = (
    "Whether the key is set is not known, or whether it needs one. A test of the model tells."
)
WELL_KNOWN: Final[Mapping[str, str]] = {
    "OPENAI_API_KEY": "openai/gpt-4.1",
    "ANTHROPIC_API_KEY": "anthropic/claude-sonnet-4-5",
    "GEMINI_API_KEY": "gemini/gemini-2.5-flash",
    "OPENROUTER_API_KEY": "openrouter/openai/gpt-4.1",
    "MISTRAL_API_KEY": "mistral/mistral-large-latest",
    "GROQ_API_KEY": "groq/llama-3.3-70b-versatile",
    "DEEPSEEK_API_KEY": "deepseek/deepseek-chat",
    "XAI_API_KEY": "xai/grok-4",
}


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A model that can be named.

    Attributes:
        name: What to write as the model.
        ready: Whether it would answer now, as far as is known without asking it; None if unknown.
        note: What to know about it, or what is missing. Empty if the description before it, of the
            same server, has the same note.
        price: What it costs; None if not known.
        context_tokens: The longest request and answer; None if not known.
        abilities: What it can do.
        lessons: What was learned of its dialect, as sentences.
        siblings: Other models of its server with the same description.
        unlisted_count: How many further ones there are.
    """

    name: str
    ready: bool | None
    note: str
    price: Price | None = FREE
    context_tokens: int | None = None
    abilities: Abilities = UNKNOWN
    lessons: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    unlisted_count: int = 0


async def describe_embedded(path: Path | None) -> ModelDescription:
    """Describe the embedded model; `path` is a file of the user's own."""
    note = (
        "135M parameters, on this machine, no key: extraction with examples, classification, "
        "continuing lists; not for judging facts or writing prompts."
    )
    ready = True
    try:
        await anyio.to_thread.run_sync(check_embedded_model, path)
    except ModelError as error:
        ready, note = False, str(error)
    return ModelDescription("embedded", ready, note, abilities=EMBEDDED_ABILITIES)


def describe_tuned(model: TunedModel) -> ModelDescription:
    """Describe a model that was tuned on this machine."""
    note = f"{model.base_title} with the adapter in {model.adapter}, on this machine, no key."
    try:
        model.check()
    except ModelError as error:
        return describe_unready(model.name, error)
    abilities = EMBEDDED_ABILITIES if model.runtime == "llama.cpp" else LOCAL_ABILITIES
    return ModelDescription(model.name, ready=True, note=note, abilities=abilities)


def describe_host(waiting: int) -> ModelDescription:
    """Describe the connected assistant as a model."""
    note = (
        "The connected assistant itself. It takes and answers work orders; "
        f"{waiting} waiting. No key."
    )
    return ModelDescription("host", ready=True, note=note, abilities=HOST_ABILITIES)


async def describe_server(name: str, server: ServerModel) -> list[ModelDescription]:
    """Describe the models of a configured server; models with the same abilities together."""
    try:
        models = await server.names()
    except ModelError as error:
        return [ModelDescription(f"{name}/<model>", False, str(error), server.price)]
    if not models:
        return [ModelDescription(f"{name}/<model>", None, NONE_LISTED, server.price)]
    alike: dict[tuple[Abilities, tuple[str, ...]], list[str]] = {}
    for model in models:
        alike.setdefault((server.abilities(model), server.lessons(model)), []).append(model)
    descriptions: list[ModelDescription] = []
    for first, *rest in alike.values():
        description = describe_of_server(name, server, first)
        siblings = tuple(f"{name}/{model}" for model in rest[: MODELS_PER_SERVER - 1])
        # The note about the whole server stands once.
        note = "" if descriptions else description.note
        descriptions.append(
            replace(
                description, note=note, siblings=siblings, unlisted_count=len(rest) - len(siblings)
            )
        )
    return descriptions


def describe_of_server(name: str, server: ServerModel, model: str) -> ModelDescription:
    """Describe one model of a configured server."""
    return ModelDescription(
        f"{name}/{model}",
        ready=True,
        note=f"At {server.address}.",
        price=server.price,
        abilities=server.abilities(model),
        lessons=server.lessons(model),
    )


async def describe_servers(servers: Mapping[str, ServerModel]) -> list[ModelDescription]:
    """Describe the models of all configured servers; ask them concurrently."""
    descriptions: dict[str, list[ModelDescription]] = {name: [] for name in servers}

    async def ask(name: str) -> None:
        descriptions[name] = await describe_server(name, servers[name])

    async with anyio.create_task_group() as group:
        for name in servers:
            group.start_soon(ask, name)
    return list(chain.from_iterable(descriptions.values()))


async def hosted_models_with_key(environment: Mapping[str, str]) -> list[str]:
    """Return a well-known model of each provider whose key is set."""
    return [
        model for variable, model in WELL_KNOWN.items() if await find_key(variable, environment)
    ]


def describe_problem(problem: ModelError) -> ModelDescription:
    """Describe the servers whose list cannot be used."""
    return ModelDescription("<server>/<model>", False, str(problem), None)


def describe_hosted(
    name: str, key: str | None, abilities: Abilities, lessons: tuple[str, ...] = ()
) -> ModelDescription:
    """Describe a hosted model by litellm's table; `key` is the variable that holds its key."""
    facts = litellm_facts(name)
    return ModelDescription(
        name,
        ready=None if key is None else True,
        note=KEY_UNKNOWN
        if key is None
        else f"{key} is set; its provider's other models work as well.",
        price=None if facts is None else facts.price,
        context_tokens=None if facts is None else facts.context_tokens,
        abilities=abilities,
        lessons=lessons,
    )


def describe_unready(name: str, problem: ModelError) -> ModelDescription:
    """Describe a model that would not answer now."""
    return ModelDescription(name, ready=False, note=str(problem), price=None)
