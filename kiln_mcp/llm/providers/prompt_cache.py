"""Marks for providers that cache the beginning of a request where it is marked.

Anthropic's models do, under any provider (https://docs.claude.com/en/docs/build-with-claude/
prompt-caching); others cache by themselves. At most four marks are taken: the tools, the system's
text, the last message, and the last one of the round before.
"""

from collections.abc import Mapping
from typing import Any, Final

_PROVIDERS: Final = frozenset({"anthropic", "bedrock", "openrouter", "vertex_ai"})
_MARK: Final[Mapping[str, str]] = {"type": "ephemeral"}
_FIELD: Final = "cache_control"
_INPUT_ROLES: Final = frozenset({"user", "tool"})


def takes_marks(model: str) -> bool:
    """Return whether a model's provider caches what is marked.

    Args:
        model: Its name for litellm.
    """
    provider, slash, name = model.partition("/")
    if not slash:
        return model.startswith("claude")
    return provider in _PROVIDERS and "claude" in name


def with_cache_marks(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `/chat/completions` with its marks, as litellm takes them."""
    messages: list[Mapping[str, Any]] = list(body["messages"])
    for place in _marked_places(messages):
        messages[place] = {**messages[place], _FIELD: dict(_MARK)}
    marked_body: dict[str, Any] = {**body, "messages": messages}
    if tools := body.get("tools"):
        marked_body["tools"] = [*tools[:-1], {**tools[-1], _FIELD: dict(_MARK)}]
    return marked_body


def _marked_places(messages: list[Mapping[str, Any]]) -> list[int]:
    systems = [place for place, m in enumerate(messages) if m["role"] == "system" and m["content"]]
    inputs = [
        place for place, m in enumerate(messages) if m["role"] in _INPUT_ROLES and m["content"]
    ]
    answers = [place for place, m in enumerate(messages) if m["role"] == "assistant"]
    earlier = [place for place in inputs if answers and place < answers[-1]]
    return sorted({*systems[-1:], *inputs[-1:], *earlier[-1:]})
