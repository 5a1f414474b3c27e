"""The abilities of models: known beforehand, shown here, or unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final, Literal

from kiln_mcp.llm.answer_schemas import fit
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest

Feature = Literal["json_schema", "json_object", "logprobs", "tools", "streaming"]
TITLES: Final[Mapping[Feature, str]] = {
    "json_schema": "JSON by schema",
    "json_object": "JSON mode",
    "logprobs": "logprobs",
    "tools": "tools",
    "streaming": "streaming",
}


class Ability(StrEnum):
    """Whether a model can do something, and how this is known."""

    YES = "yes"
    NO = "no"
    SEEN = "seen"
    """An answer showed it."""
    REFUSED = "refused"
    """The model refused it here, or left it out."""
    IN_WORDS = "in words"
    """The model is asked in words, and its answer is checked."""
    UNKNOWN = "unknown"

    @property
    def is_there(self) -> bool:
        """Whether it can be relied on."""
        return self in {Ability.YES, Ability.SEEN, Ability.IN_WORDS}

    @property
    def is_missing(self) -> bool:
        """Whether it is known to be missing."""
        return self in {Ability.NO, Ability.REFUSED}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can do.

    Attributes:
        json_schema: JSON that the server holds to a schema. If it is missing, JSON is requested in
            another way, and checked.
        json_object: Any JSON object.
        logprobs: The logarithms of its tokens' probabilities.
        tools: Calls of tools.
        streaming: Its answer while it is being written.
    """

    json_schema: Ability = Ability.UNKNOWN
    json_object: Ability = Ability.UNKNOWN
    logprobs: Ability = Ability.UNKNOWN
    tools: Ability = Ability.UNKNOWN
    streaming: Ability = Ability.UNKNOWN

    def by_feature(self) -> Mapping[Feature, Ability]:
        """Return each ability by its feature."""
        return {name: getattr(self, name) for name in TITLES}

    def over(self, defaults: "Abilities") -> "Abilities":
        """Return these abilities, with defaults for the unknown ones."""
        return Abilities(
            *(
                mine if (mine := getattr(self, field.name)) is not Ability.UNKNOWN else theirs
                for field in fields(self)
                for theirs in [getattr(defaults, field.name)]
            )
        )


EMBEDDED_ABILITIES: Final = Abilities(
    Ability.YES, Ability.YES, Ability.YES, Ability.IN_WORDS, Ability.YES
)
HOST_ABILITIES: Final = Abilities(
    Ability.IN_WORDS, Ability.IN_WORDS, Ability.NO, Ability.IN_WORDS, Ability.NO
)
LOCAL_ABILITIES: Final = Abilities(
    Ability.IN_WORDS, Ability.IN_WORDS, Ability.NO, Ability.NO, Ability.YES
)
UNKNOWN: Final = Abilities()
_JSON_FEATURES: Final[Mapping[str | None, Feature]] = {
    "schema": "json_schema",
    "object": "json_object",
}


class ObservedAbilities:
    """The abilities that a server's models have shown since this process began."""

    def __init__(self) -> None:
        self._abilities: dict[str, Abilities] = {}

    def of(self, model: str) -> Abilities:
        """Return the abilities that a model has shown."""
        return self._abilities.get(model, UNKNOWN)

    async def take(self, request: ModelRequest, answer: ModelAnswer, json_mode: str | None) -> None:
        """Learn from an answer.

        Args:
            request: The request.
            answer: Its answer.
            json_mode: How JSON was requested: `schema`, `object` or `words`; None if it was not.
        """
        json_by = _JSON_FEATURES.get(json_mode)
        if json_by is not None and getattr(self.of(request.model), json_by) is not Ability.SEEN:
            _, problem = await fit(answer, request)
            if problem is None:
                self.learn(request.model, json_by, Ability.SEEN)
        if request.top_logprobs:
            ability = Ability.SEEN if answer.logprobs else Ability.REFUSED
            self.learn(request.model, "logprobs", ability)
        if request.tools and answer.tool_calls:  # a model that calls none may have had no reason to
            self.learn(request.model, "tools", Ability.SEEN)

    def forget(self, model: str) -> None:
        """Forget what a model has shown."""
        self._abilities.pop(model, None)

    def learn(self, model: str, feature: Feature, ability: Ability) -> None:
        """Remember an ability."""
        abilities = self.of(model)
        if getattr(abilities, feature) is not ability:
            self._abilities[model] = replace(abilities, **{feature: ability})
