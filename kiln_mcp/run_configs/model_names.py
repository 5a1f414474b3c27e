"""Model names: ours, and the pair of name and provider that Kiln's files hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PREFIXES: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini_api": "gemini",
    "openrouter": "openrouter",
    "groq": "groq",
    "ollama": "ollama",
    "fireworks_ai": "fireworks_ai",
    "together_ai": "together_ai",
    "vertex": "vertex_ai",
    "amazon_bedrock": "bedrock",
    "azure_openai": "azure",
    "cerebras": "cerebras",
    "huggingface": "huggingface",
}
"""Kiln's provider names, and what litellm calls the same providers."""

_MAKERS: Final[Mapping[str, str]] = {
    "gpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "gemma": "google",
    "llama": "meta-llama",
    "mistral": "mistralai",
    "qwen": "qwen",
    "deepseek": "deepseek",
}
_COMPATIBLE: Final = "openai_compatible"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as Kiln's files name it."""

    name: str
    provider: str


def stored_model(engine_name: str) -> StoredModel:
    """Return how a file names one of our models.

    What Kiln has no provider for becomes a model of an OpenAI-compatible server, `server::model`,
    so that Kiln can open the file.
    """
    prefix, slash, rest = engine_name.partition("/")
    providers = {litellm: kiln for kiln, litellm in _PREFIXES.items()}
    if slash and prefix in providers:
        return StoredModel(rest, providers[prefix])
    if slash:
        return StoredModel(f"{prefix}::{rest}", _COMPATIBLE)
    return StoredModel(engine_name, _COMPATIBLE)


def engine_model(model: StoredModel) -> str:
    """Return the name by which our engine knows a stored model.

    Kiln's own names, such as `gpt_4_1_mini`, are turned into the maker's by their pattern: digits
    that follow each other are a version, other underscores are hyphens.
    """
    if model.provider == _COMPATIBLE:
        return model.name.replace("::", "/", 1)
    prefix = _PREFIXES.get(model.provider, model.provider)
    name = model.name
    if not re.search(r"[-./:]", name):
        name = re.sub(r"(?<=\d)_(?=\d)", ".", name).replace("_", "-")
        if prefix == "openrouter":
            maker = _MAKERS.get(re.split(r"[-.]", name)[0])
            name = f"{maker}/{name}" if maker else name
    return f"{prefix}/{name}"
