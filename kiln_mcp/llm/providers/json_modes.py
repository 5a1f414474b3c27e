"""How JSON is asked of a server: by schema, as any object, or in words; learned from refusals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from kiln_mcp.llm.abilities import Abilities, Ability, Feature
from kiln_mcp.llm.errors import RejectedRequest
from kiln_mcp.llm.messages import ModelRequest
from kiln_mcp.llm.providers.openai_format import chat_body

JsonMode = Literal["schema", "object", "words"]
"""`object` asks for any object, with the schema in words; `words` sets no mode at all."""
_NEXT_MODE: Final[Mapping[JsonMode | None, JsonMode]] = {"schema": "object", "object": "words"}
_FEATURES: Final[Mapping[JsonMode | None, Feature]] = {
    "schema": "json_schema",
    "object": "json_object",
}
_ABILITIES: Final[Mapping[JsonMode, Abilities]] = {
    "schema": Abilities(),
    "object": Abilities(json_schema=Ability.REFUSED),
    "words": Abilities(json_schema=Ability.REFUSED, json_object=Ability.REFUSED),
}
_SCHEMA_WORDS: Final = ("response_format", "json_schema", "guided", "grammar")
"""A refusal that holds one of these is about the mode."""


class JsonModes:
    """The mode that a server takes, as far as it is known."""

    def __init__(self, *, has_schema_mode: bool) -> None:
        self._has_schema_mode = has_schema_mode
        self._mode: JsonMode = "schema" if has_schema_mode else "object"

    @property
    def abilities(self) -> Abilities:
        """What the mode says about the server's models."""
        abilities = _ABILITIES[self._mode]
        return abilities if self._has_schema_mode else replace(abilities, json_schema=Ability.NO)

    def mode_of(self, request: ModelRequest) -> JsonMode | None:
        """Return how a request asks for JSON now; None if it asks for none."""
        if request.schema is None:
            return None
        is_object = request.schema.get("type") == "object"
        return "words" if self._mode == "object" and not is_object else self._mode

    def feature_of(self, request: ModelRequest) -> Feature | None:
        """Return the ability that an answer to a request shows now; None if it shows none."""
        return _FEATURES.get(self.mode_of(request))

    def body_of(self, request: ModelRequest) -> dict[str, Any]:
        """Return the JSON body of a request, with the mode that the server takes."""
        mode = self.mode_of(request)
        body = chat_body(request, request.model, schema_in_words=mode != "schema")
        if mode == "object":
            body["response_format"] = {"type": "json_object"}
        return body

    def adapt(self, error: RejectedRequest, mode: JsonMode | None) -> bool:
        """Take the next mode if a refusal is about the mode; return whether to ask again.

        Args:
            error: The refusal.
            mode: How the refused request asked. Another request may have changed the mode since.
        """
        if mode not in _NEXT_MODE or not any(word in str(error) for word in _SCHEMA_WORDS):
            return False
        if self._mode == mode:
            self._mode = _NEXT_MODE[mode]
        return True
