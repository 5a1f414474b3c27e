"""The readings of a panel: who judges, in which manner, by which wording of the clauses."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

from kiln_mcp.llm import EMBEDDED, HOST
from kiln_mcp.spec_texts.spec_content import Clause

Manner = Literal["plain", "literal", "purpose"]
MANNERS: Final[Mapping[Manner, str]] = {
    "plain": "As a sensible reader would.",
    "literal": "By their words alone. What is not written is not required.",
    "purpose": "By what they are evidently for. The purpose counts where the words are loose.",
}
REWORDINGS: Final = 2
"""Other wordings of each clause."""
MOST_READINGS: Final = 8
_OF_FIRST_MODEL: Final[tuple[tuple[Manner, int], ...]] = (
    ("plain", 0),
    ("literal", 1),
    ("purpose", 0),
    ("plain", 2),
)
"""Manner and wording of the readings of the first model."""
_OF_OTHER_MODELS: Final[tuple[tuple[Manner, int], ...]] = (("plain", 0), ("literal", 1))


@dataclass(frozen=True, slots=True)
class PanelLimits:
    """How much a model is asked.

    Attributes:
        outputs: The most outputs.
        outputs_a_call: How many of them one call shows.
    """

    outputs: int
    outputs_a_call: int = 1


_LIMITS: Final[Mapping[str, PanelLimits]] = {
    EMBEDDED: PanelLimits(12),
    HOST: PanelLimits(24, 6),
}


def limits_of(models: Sequence[str]) -> PanelLimits:
    """Return the limits of a panel: those of its most limited model."""
    limits = [_LIMITS.get(model, PanelLimits(48)) for model in models]
    return PanelLimits(
        min(limit.outputs for limit in limits), max(limit.outputs_a_call for limit in limits)
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to judge outputs by the clauses.

    Attributes:
        model: The model that judges.
        manner: How it is told to read.
        wording: Which wording of the clauses it is shown; 0 for their own.
        texts: The wording of each clause, by the clause's id.
    """

    model: str
    manner: Manner
    wording: int = 0
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def title(self) -> str:
        """What people call it."""
        wording = f", wording {self.wording + 1}" if self.wording else ""
        return f"{self.model}, {self.manner}{wording}"

    @property
    def id(self) -> str:
        """Its id, which changes with all that it is made of."""
        texts = "\0".join(f"{clause}\0{self.texts[clause]}" for clause in sorted(self.texts))
        content = f"{self.model}\0{self.manner}\0{self.wording}\0{texts}"
        return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def plan_readings(models: Sequence[str]) -> Sequence[tuple[str, Manner, int]]:
    """Return model, manner and wording of each reading; the first model gives the most.

    Raises:
        ValueError: There is no model.
    """
    if not models:
        raise ValueError("A panel needs at least one model.")
    readings: list[tuple[str, Manner, int]] = []
    for number, model in enumerate(dict.fromkeys(models)):
        for manner, wording in _OF_OTHER_MODELS if number else _OF_FIRST_MODEL:
            readings.append((model, manner, wording))
    return readings[:MOST_READINGS]


def make_readings(
    models: Sequence[str], clauses: Sequence[Clause], rewordings: Mapping[str, Sequence[str]]
) -> list[Reading]:
    """Return the readings of a panel.

    Args:
        models: The models that judge.
        clauses: The clauses.
        rewordings: Other wordings by clause. A clause without one is shown in its own words.
    """
    readings: dict[str, Reading] = {}
    for model, manner, wording in plan_readings(models):
        texts = {clause.id: clause.text for clause in clauses}
        if wording:
            texts |= {
                clause: own[min(wording, len(own)) - 1] for clause, own in rewordings.items() if own
            }
        reading = Reading(model, manner, wording, texts)
        readings.setdefault(reading.id, reading)
    return list(readings.values())


def clause_list(
    clauses: Sequence[Clause], faults: Collection[str], texts: Mapping[str, str] | None = None
) -> str:
    """Return clauses as a list for a model, each with its id and what kind of rule it is.

    Args:
        clauses: The clauses.
        faults: The ids of those whose words describe what must not happen.
        texts: Another wording, by the clause's id.
    """
    return "\n".join(
        f"- {clause.id} ({'must not' if clause.id in faults else 'must'}): "
        f"{(texts or {}).get(clause.id, clause.text)}"
        for clause in clauses
    )
