"""Whether a hosted model's name can be right, told from litellm's table without importing it."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from kiln_mcp.llm.errors import UnknownModel
from kiln_mcp.llm.inventory import WELL_KNOWN
from kiln_mcp.llm.prices import hosted_names, litellm_facts, providers

# Their models are what their users install or deploy, so the table does not list them.
_UNLISTED: Final = frozenset(
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
_OTHER_KEYS: Final = {"gemini": ("GOOGLE_API_KEY",)}


def check_hosted_name(name: str, valid: Sequence[str]) -> None:
    """Refuse a name that no hosted model can have.

    Of the providers whose models the table lists in full, only these and fine-tuned ones pass
    (their names have a colon); of any other provider all names pass.

    Args:
        name: What was given.
        valid: The names that are valid apart from hosted ones, for the error.

    Raises:
        UnknownModel: It has no provider, or an unknown one, or the provider has no such model.
    """
    known = providers()
    if not known:
        return
    provider, slash, rest = name.partition("/")
    listed = provider in _KEYS and provider not in _UNLISTED
    if slash and rest:
        if listed and (litellm_facts(name) or ":" in rest):
            return
        if not listed and (provider in known or provider in _UNLISTED):
            return
    names = hosted_names()
    within = [one for one in names if one.startswith(f"{provider}/")] if listed else names
    close = get_close_matches(name, within, n=3) or get_close_matches(f"openai/{name}", names, n=3)
    raise UnknownModel(name, valid, close=close)


def key_variables(model: str) -> tuple[str, ...]:
    """Return the variables one of which must hold the key; none where that is not known."""
    provider = model.partition("/")[0]
    variable = _KEYS.get(provider)
    return (variable, *_OTHER_KEYS.get(provider, ())) if variable else ()
