"""What a server lists and answers, read from the protocol's JSON: tools, effects and contents."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from pydantic import JsonValue

from agent.events import Effect

JsonObject = Mapping[str, JsonValue]

SEARCH_HINT: Final = "anthropic/searchHint"
ALWAYS_LOAD: Final = "anthropic/alwaysLoad"
"""Keys of a tool's `_meta`: words that find it, and whether it is always shown."""


class ServerError(Exception):
    """A server refused a request, or its answer is none of the protocol."""


class ServerLostError(ServerError):
    """The connection has ended."""


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server lists it.

    Attributes:
        name: Its name there.
        input_schema: The JSON Schema of its arguments.
        effect: The gravest effect that it claims.
        title: What it is called for a person; empty if it has no title.
        description: What it does.
        meta: Its `_meta`.
    """

    name: str
    input_schema: JsonObject
    effect: Effect = Effect.DESTROYS
    title: str = ""
    description: str = ""
    meta: JsonObject = field(default_factory=dict[str, JsonValue])

    @property
    def properties(self) -> JsonObject:
        """The schemas of its arguments."""
        return object_in(self.input_schema, "properties")

    @property
    def required(self) -> frozenset[str]:
        """The arguments that it needs."""
        names = self.input_schema.get("required")
        return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def tool_in(entry: JsonObject) -> ListedTool:
    """Return a tool of the protocol's `tools/list`.

    Raises:
        ServerError: It has no name.
    """
    name = entry.get("name")
    if not isinstance(name, str):
        raise ServerError("it lists a tool without a name")
    annotations = object_in(entry, "annotations")
    return ListedTool(
        name,
        object_in(entry, "inputSchema"),
        effect_of(annotations),
        str(entry.get("title") or annotations.get("title") or ""),
        str(entry.get("description") or ""),
        object_in(entry, "_meta"),
    )


def effect_of(annotations: JsonObject) -> Effect:
    """Return the gravest effect of a tool by its `annotations`; without them, the worst."""
    if annotations.get("readOnlyHint"):
        return Effect.READS
    if annotations.get("destructiveHint") is not False:
        return Effect.DESTROYS
    return Effect.WRITES if annotations.get("openWorldHint") is False else Effect.SPENDS


def text_of(content: Sequence[JsonValue], structured: JsonValue) -> str:
    """Return the contents of an answer as one text; without any, its data as JSON."""
    text = "\n".join(_block_text(block) for block in content if isinstance(block, dict))
    if not text and structured is not None:
        return json.dumps(structured, ensure_ascii=False)
    return text


def _block_text(block: JsonObject) -> str:
    kind, resource = block.get("type"), object_in(block, "resource")
    if kind == "text":
        return str(block.get("text") or "")
    if kind == "resource_link":
        return f"{block.get('title') or block.get('name')}: {block.get('uri')}"
    if kind == "resource" and isinstance(text := resource.get("text"), str):
        return text
    return f"[{kind}: not shown here]"


def object_in(data: JsonObject, key: str) -> JsonObject:
    """Return an object in data; an empty one if there is none."""
    part = data.get(key)
    return cast("JsonObject", part) if isinstance(part, dict) else {}


def list_in(data: JsonObject, key: str) -> Sequence[JsonValue]:
    """Return a list in data; an empty one if there is none."""
    part = data.get(key)
    return part if isinstance(part, list) else []
