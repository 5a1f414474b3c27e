"""Read the corpus: inputs as data, one file a kind, with what is done to a project and called.

A file holds `calls`, which are made for each of its inputs, and `inputs`. An input holds:

- `name`: a sentence part that names it in failures.
- `input`: what takes the place of a text "{input}" in calls and changes.
- `changes`: what is done to a copy of the project before the calls.
- `calls`: its own calls instead of the file's.
- `answer`: a regular expression that the last answer must match.

In texts `{person}`, `{sentinel}`, `{files}` and so on become paths. Long values are written short:
`{"$repeat": [text, times]}` and `{"$nest": [before, within, after, depth]}` are texts,
`{"$list": depth}` is a list in a list, and `{"$join": [...]}` puts texts together.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import JsonValue

CORPUS: Final = Path(__file__).parent

JsonObject = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class HostileInput:
    """One input of the corpus.

    Attributes:
        kind: The name of its file.
        name: What it is.
        input: The value that calls and changes name as "{input}".
        changes: What is done to the project before the calls.
        calls: Tools with their arguments, in order.
        answer: A pattern that the last answer matches; empty for any answer.
    """

    kind: str
    name: str
    input: JsonValue = None
    changes: tuple[JsonObject, ...] = ()
    calls: tuple[tuple[str, JsonObject], ...] = ()
    answer: str = ""

    @property
    def slug(self) -> str:
        """The name as a part of paths and names of models."""
        return "".join(c if c.isascii() and c.isalnum() else "-" for c in self.name)


def read_inputs(kind: str) -> tuple[HostileInput, ...]:
    """Return the inputs of a file of the corpus."""
    text = (CORPUS / f"{kind}.json").read_text(encoding="utf-8")
    content: Mapping[str, Any] = json.loads(text)
    common = content.get("calls", [])
    return tuple(
        HostileInput(
            kind,
            one["name"],
            expand(one.get("input")),
            tuple(cast("list[JsonObject]", expand(one.get("changes", [])))),
            tuple((str(expand(t)), cast("JsonObject", expand(a))) for t, a in _calls(one, common)),
            one.get("answer", ""),
        )
        for one in content["inputs"]
    )


def _calls(one: Mapping[str, Any], common: list[Any]) -> list[Any]:
    return one.get("calls", common)


def kinds() -> Iterator[str]:
    """Yield the names of the files."""
    for file in sorted(CORPUS.glob("*.json")):
        yield file.stem


def expand(value: JsonValue) -> JsonValue:
    """Write out the values that are written short."""
    match value:
        case {"$repeat": [str(text), int(times)]}:
            return text * times
        case {"$nest": [str(before), str(within), str(after), int(depth)]}:
            return before * depth + within + after * depth
        case {"$list": int(depth)}:
            nested: JsonValue = []
            for _ in range(depth):
                nested = [nested]
            return nested
        case {"$join": list(parts)}:
            return "".join(str(expand(part)) for part in parts)
        case dict():
            return {key: expand(part) for key, part in value.items()}
        case list():
            return [expand(part) for part in value]
        case _:
            return value


def fill(value: JsonValue, slots: Mapping[str, JsonValue]) -> JsonValue:
    """Put the slots' values in the place of their names in braces.

    A text that is a slot and nothing else becomes its value, of whatever type.
    """
    match value:
        case str():
            for name, replacement in slots.items():
                if value == f"{{{name}}}":
                    return replacement
                if isinstance(replacement, str) and f"{{{name}}}" in value:
                    value = value.replace(f"{{{name}}}", replacement)
            return value
        case dict():
            return {key: fill(part, slots) for key, part in value.items()}
        case list():
            return [fill(part, slots) for part in value]
        case _:
            return value
