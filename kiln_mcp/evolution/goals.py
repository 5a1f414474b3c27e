"""What a person wants of each score, and what no prompt may lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from kiln_mcp.evolution.engine import MOST_REPEATS, Goal
from storage import score_key
from storage.errors import InvalidValue
from storage.text.excerpts import excerpts

Value = TypeVar("Value", str, int, float)

USUAL_FLOOR: Final = 10.0
"""Points of a hundred that a score without a floor may lose while another one gains."""


@dataclass(frozen=True, slots=True)
class Goals:
    """The goals of a search.

    Attributes:
        weights: By score: how much it counts; 0 for one that is only guarded.
        floors: By score: the points of a hundred that it may lose at most.
        targets: By score: the value from 0 to 1 above which more is worth nothing.
        passages: Texts that every prompt must keep, word for word.
        most_words: The longest instruction; None for any length.
        required: Tags of items on which no prompt may do worse than the start.
        shortens: Whether blocks are left out that bring nothing.
        most_runs: The most runs of each held-out item.
        origin: A candidate of an earlier search to go on from; "" for the start.
    """

    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    targets: Mapping[str, float] = field(default_factory=dict[str, float])
    passages: Sequence[str] = ()
    most_words: int | None = None
    required: Sequence[str] = ()
    shortens: bool = False
    most_runs: int = MOST_REPEATS
    origin: str = ""

    def check(self, keys: Sequence[str], prompt: str) -> None:
        """Refuse goals that this eval and this prompt cannot have.

        Raises:
            InvalidValue: A score is unknown, a number is out of range, or a passage is not there.
        """
        for name, values in (
            ("weights", self.weights),
            ("floors", self.floors),
            ("targets", self.targets),
        ):
            unknown = [key for key in values if key not in keys]
            if unknown:
                raise InvalidValue(
                    "The eval has no score '{score}' for {argument}; its scores are {keys}.",
                    score=unknown[0],
                    argument=name,
                    keys=excerpts(keys),
                )
        if any(not 0 <= weight < float("inf") for weight in self.weights.values()):
            raise InvalidValue("A weight is a number from 0 on.")
        if self.weights and not any(self.weight(key) for key in keys):
            raise InvalidValue("Every score has weight 0: give one that is to gain a weight.")
        if any(not 0 <= floor <= 100 for floor in self.floors.values()):
            raise InvalidValue("A floor is from 0 to 100 points: what the score may lose at most.")
        if any(not 0 < target <= 1 for target in self.targets.values()):
            raise InvalidValue("A target is above 0 and at most 1, the best value of each score.")
        missing = next((passage for passage in self.passages if passage not in prompt), None)
        if missing is not None:
            raise InvalidValue(
                "The start's prompt does not contain the passage to keep {passage!r}.",
                passage=missing,
            )

    def weight(self, key: str) -> float:
        """Return how much a score counts."""
        return self.weights.get(key, 1.0)

    def floor(self, key: str) -> float:
        """Return the points of a hundred that a score may lose."""
        return self.floors.get(key, USUAL_FLOOR)

    def by_score(self, keys: Sequence[str]) -> dict[str, Goal]:
        """Return the goals as the engine takes them."""
        return {
            key: Goal(
                weight=self.weight(key),
                margin=self.floors[key] / 100 if key in self.floors else None,
                target=self.targets.get(key, 1.0),
            )
            for key in keys
        }


MOST_RUNS: Final = 32
"""More runs of an item show next to nothing that fewer do not."""
KINDS: Final = ("weight", "floor", "target")
_COUNTS: Final = ("words", "runs")
_FORMS: Final = (
    "'<score> weight 2', '<score> floor 5' (the points of 100 that it may lose), "
    "'<score> target 0.9', 'words 300' (the longest instruction), 'runs 1' (the most runs of each "
    "held-out item), 'from <candidate>' (of an earlier search), 'shorter' (leave out what brings "
    "nothing), 'require <tag>' (items that may not get worse) or 'keep <passage>'"
)


def read_goals(lines: Sequence[str]) -> Goals:
    """Return the goals that lines say, such as "safety floor 0" or "words 300".

    Scores go by name or key. Capitals and spaces do not matter but in passages and tags.

    Raises:
        InvalidValue: A line says none, or contradicts another.
    """
    values: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    passages, required = list[str](), list[str]()
    numbers: dict[str, int] = {}
    origin: str | None = None
    shortens = False
    for line in lines:
        first, _, rest = line.strip().partition(" ")
        first, rest = first.lower(), rest.strip()
        *score, kind, number = line.split() if len(line.split()) > 2 else ("", "", "")
        kind = kind.lower()
        if first == "keep" and rest:
            passages.append(rest)
        elif first == "require" and rest:
            required.append(rest.removeprefix("tag::"))
        elif first == "from" and rest:
            origin = _only(origin, rest, line)
        elif line.strip().lower() == "shorter":
            shortens = True
        elif first in _COUNTS and rest.isdecimal() and int(rest) > 0:
            numbers[first] = _only(numbers.get(first), int(rest), line)
        elif kind in KINDS:
            name = " ".join(score).strip("'\": ")
            key = score_key(name) or name
            values[kind][key] = _only(values[kind].get(key), _number(number, line), line)
        else:
            raise _no_goal(line)
    return Goals(
        weights=values["weight"],
        floors=values["floor"],
        targets=values["target"],
        passages=passages,
        most_words=numbers.get("words"),
        required=required,
        shortens=shortens,
        most_runs=min(MOST_RUNS, numbers.get("runs", MOST_REPEATS)),
        origin=origin or "",
    )


def _only(earlier: Value | None, new: Value, line: str) -> Value:
    """Return what a line says, unless another line says something else.

    Raises:
        InvalidValue: One does.
    """
    if earlier is not None and earlier != new:
        raise InvalidValue(
            "'{line}' contradicts an earlier goal, which says {earlier}. Keep one of them.",
            line=line,
            earlier=earlier,
        )
    return new


def _number(text: str, line: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _no_goal(line) from error


def _no_goal(line: str) -> InvalidValue:
    return InvalidValue(f"'{{line}}' says no goal: write {_FORMS}.", line=line)
