"""Which tools a model is shown: the entry tools and a search at first, then what it found."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from agent.server_tools import ALWAYS_LOAD, SEARCH_HINT, ListedTool
from kiln_mcp.llm import Tool

SEARCH: Final = "find_tools"
MOST_FOUND: Final = 5
ENTRY_TOOLS: Final = ("find", "read", "show_results", "check_job")
"""Shown at first beside those that the workbench marks."""
_WORD: Final = re.compile(r"[a-z0-9]+")
_SEARCH_SCHEMA: Final = {
    "type": "object",
    "properties": {"words": {"type": "string", "description": "What you want to do."}},
    "required": ["words"],
}
_NAME_WEIGHT: Final = 4
_HELP_WEIGHT: Final = 2


class ToolChoice:
    """The tools that a model sees.

    A tool that it does not see can be called all the same.
    """

    def __init__(self, tools: Mapping[str, ListedTool], *, shows_all: bool = False) -> None:
        """Set up.

        Args:
            tools: All tools that a model may see, by their full names.
            shows_all: Whether it sees all of them from the beginning.
        """
        self._tools = tools
        entries = [name for name, tool in tools.items() if shows_all or _is_entry(name, tool)]
        self._entries = entries or list(tools)
        self._found_tools: dict[str, None] = {}
        self._words = {name: _words_of(name, tool) for name, tool in tools.items()}

    def definitions(self) -> list[Tool]:
        """Return the shown tools; found ones come last, so that the beginning stays the same."""
        other_names = [name for name in self._tools if name not in self._entries]
        search = [_search(other_names)] if other_names else []
        return [
            *(_definition(name, self._tools[name]) for name in self._entries),
            *search,
            *(_definition(name, self._tools[name]) for name in self._found_tools),
        ]

    def show(self, names: Collection[str]) -> None:
        """Show tools from the next round on."""
        hidden_names = [name for name in names if name in self._tools and name not in self._entries]
        self._found_tools |= dict.fromkeys(hidden_names)

    def search(self, words: str) -> str:
        """Show the tools that words mean from now on, and return what they do."""
        search_words = _WORD.findall(words.casefold())
        scores = {
            name: sum(weights.get(word, 0) for word in search_words)
            for name, weights in self._words.items()
        }
        best = sorted((name for name in scores if scores[name]), key=lambda name: -scores[name])
        best_names = best[:MOST_FOUND]
        self.show(best_names)
        if not best_names:
            return f"No tool was found. All tools: {', '.join(self._tools)}."
        return "You can call these now:\n" + "\n".join(
            f"- {name}: {_first_line(self._tools[name])}" for name in best_names
        )


def _is_entry(name: str, tool: ListedTool) -> bool:
    return bool(tool.meta.get(ALWAYS_LOAD)) or name in ENTRY_TOOLS


def _words_of(name: str, tool: ListedTool) -> dict[str, int]:
    """Return how much each word speaks for a tool."""
    weights: dict[str, int] = {}
    hint = str(tool.meta.get(SEARCH_HINT, ""))
    for text, weight in ((name, _NAME_WEIGHT), (tool.description, _HELP_WEIGHT), (hint, 1)):
        for word in _WORD.findall(text.casefold().replace("_", " ")):
            weights[word] = max(weights.get(word, 0), weight)
    return weights


def _definition(name: str, tool: ListedTool) -> Tool:
    return Tool(name, tool.description, tool.input_schema)


def _search(hidden_names: Collection[str]) -> Tool:
    names = ", ".join(hidden_names)
    return Tool(
        SEARCH, f"Find further tools by what you want to do. There are: {names}.", _SEARCH_SCHEMA
    )


def _first_line(tool: ListedTool) -> str:
    return tool.description.partition("\n")[0]
