"""The names and keys of hosted models, by litellm's table, without importing litellm."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from kiln_mcp.llm.errors import UnknownModel
from kiln_mcp.llm.prices import hosted_names, litellm_facts, providers
from kiln_mcp.llm.providers.descriptions import WELL_KNOWN
from storage.text.suggestions import close_names

# Their models are what their users install or deploy, so the table does not list them.
_OPEN_PROVIDERS: Final = frozenset(
    {
        "custom_openai",
        "github",
        "hosted_vllm",
        "huggingface",
        "litellm_proxy",
        "llamafile",
        "lm_studio",
        "nvidia_nim",
        "ollama",
        "ollama_chat",
        "openai_like",
        "openrouter",
        "xinference",
    }
)
_KEYS: Final = {model.partition("/")[0]: variable for variable, model in WELL_KNOWN.items()}


@dataclass(frozen=True, slots=True)
class Needs:
    """The variables that a provider's models need.

    Attributes:
        key: One of these holds the key; empty if that is not known.
        settings: One of each of these is set besides.
    """

    key: tuple[str, ...] = ()
    settings: tuple[tuple[str, ...], ...] = ()


_NEEDS: Final[Mapping[str, Needs]] = {
    provider: Needs((key,)) for provider, key in _KEYS.items()
} | {
    "anthropic": Needs(("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")),
    "azure": Needs(("AZURE_API_KEY",), (("AZURE_API_BASE", "AZURE_BASE_URL"),)),
    "bedrock": Needs(
        (
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        )
    ),
    "cohere": Needs(("COHERE_API_KEY",)),
    "gemini": Needs(("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    "huggingface": Needs(("HUGGINGFACE_API_KEY",)),
    "perplexity": Needs(("PERPLEXITYAI_API_KEY",)),
    "replicate": Needs(("REPLICATE_API_KEY",)),
    "together_ai": Needs(("TOGETHERAI_API_KEY",)),
    # Its login is Google's own and cannot be checked here.
    "vertex_ai": Needs((), (("VERTEXAI_PROJECT",), ("VERTEXAI_LOCATION",))),
}


_ADDRESS_PART: Final = re.compile(r"//|\\|[?#%\s\x00-\x1f\x7f]|(?:^|/)\.{1,2}(?:/|$)")
"""Parts of addresses: litellm sends the keys of some providers to an address in the name."""


def holds_address(name: str) -> bool:
    """Return whether a hosted model's name holds an address or a part of one."""
    return _ADDRESS_PART.search(name) is not None


def check_hosted_name(name: str, valid: Sequence[str]) -> None:
    """Refuse a name that no hosted model can have.

    The table lists all models of the well-known providers, but it ages. So a name of these that is
    not in the table passes in three cases:

    - it has a colon (a fine-tuned model);
    - only its numbers differ from a listed name (a newer version);
    - no listed name is like it (a new family).

    Any other one is a misspelling. Of all other providers every name passes.

    Args:
        name: The name.
        valid: The valid names that are not hosted, for the error.

    Raises:
        UnknownModel: It has no known provider, or it is nearly a model's name.
    """
    if holds_address(name):
        raise UnknownModel(name, valid)
    table_providers = providers()
    if not table_providers:
        return
    provider, slash, rest = name.partition("/")
    is_listed = provider in _KEYS and provider not in _OPEN_PROVIDERS
    names = hosted_names()
    of_provider = [other for other in names if other.startswith(f"{provider}/")]
    candidates = of_provider if is_listed else names
    if slash and rest:
        if is_listed and (litellm_facts(name) or ":" in rest or _may_be_newer(name, candidates)):
            return
        if not is_listed and (provider in table_providers or provider in _OPEN_PROVIDERS):
            return
    close = close_names(name, candidates)
    if not close and not slash:
        without = [
            candidate.removeprefix("openai/")
            for candidate in names
            if candidate.startswith("openai/")
        ]
        close = [f"openai/{match}" for match in close_names(name, without)]
    raise UnknownModel(name, valid, close=close)


def _may_be_newer(name: str, names: Sequence[str]) -> bool:
    """Return whether a name that is not in the table may be of a newer model."""
    skeletons = {_without_numbers(name) for name in names}
    return _without_numbers(name) in skeletons or not get_close_matches(
        name, names, n=1, cutoff=0.8
    )


def _without_numbers(name: str) -> str:
    return re.sub(r"[\d.\-_]+", "", name.casefold())


def needs_of(model: str) -> Needs:
    """Return the variables that a hosted model is known to need."""
    return _NEEDS.get(model.partition("/")[0], Needs())


def key_variables(model: str) -> tuple[str, ...]:
    """Return the variables of which one must hold the key; none if that is not known."""
    return needs_of(model).key


def likely_keys(model: str) -> tuple[str, ...]:
    """Return the variables of which one may hold the key; by default litellm's usual one."""
    return key_variables(model) or (f"{model.partition('/')[0].upper()}_API_KEY",)
