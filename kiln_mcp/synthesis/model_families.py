"""The families of models: a judge is kind to outputs of its own family."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from kiln_mcp.llm import EMBEDDED

_FAMILIES: Final[Mapping[str, str]] = {
    "gpt": "OpenAI",
    "chatgpt": "OpenAI",
    "o1": "OpenAI",
    "o3": "OpenAI",
    "o4": "OpenAI",
    "claude": "Anthropic",
    "gemini": "Google",
    "gemma": "Google",
    "llama": "Meta",
    "mistral": "Mistral",
    "mixtral": "Mistral",
    "ministral": "Mistral",
    "qwen": "Qwen",
    "qwq": "Qwen",
    "deepseek": "DeepSeek",
    "phi": "Microsoft",
    "grok": "xAI",
    "command": "Cohere",
    "smollm": "SmolLM",
    "glm": "Zhipu",
    "kimi": "Moonshot",
}
_WORD: Final = re.compile(r"[a-z]+\d*|\d+")


def family_of(model: str) -> str:
    """Return the family of a model, its own name if the family is not known."""
    if model == EMBEDDED:
        return _FAMILIES["smollm"]
    last = model.rpartition("/")[2].casefold()
    for word in _WORD.findall(last):
        family = _FAMILIES.get(word) or _FAMILIES.get(word.rstrip("0123456789"))
        if family:
            return family
    return model


def shared_families(system: str, writer: str, checkers: Sequence[str]) -> list[str]:
    """Return sentences that name the parts that models of one family play.

    Args:
        system: The model that answers the inputs.
        writer: The model that writes inputs, references or edits.
        checkers: The models that check them; empty if none does.
    """
    sentences: list[str] = []
    if family_of(system) == family_of(writer):
        sentences.append(
            f"{writer} writes the data and {system} answers it: one family, so the inputs may "
            "suit its own answers. Another `model` would be a harder test."
        )
    for checker in dict.fromkeys(checkers):
        parts = [name for name in (writer, system) if family_of(name) == family_of(checker)]
        if parts:
            sentences.append(
                f"{checker} checks what its own family wrote ({', '.join(dict.fromkeys(parts))}), "
                "and may be too kind. Name `checkers` of another family."
            )
    return sentences
