"""The plan of a call: what it will do, cost and touch, before anything is done."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

_ESTIMATES: Final = frozenset({"expected_cost_usd", "tokens", "earlier_calls", "is_long"})
"""Estimates, which change while other calls are measured; a person agrees to the other fields."""

LONGEST_CODE: Final = 2000
"""Characters of code that a plan shows in its text."""


class Effect(StrEnum):
    """The effect of calling a capability."""

    READS = "reads"
    """Looks; changes nothing and costs nothing."""
    WRITES = "writes"
    """Changes the project; can be undone."""
    SPENDS = "spends"
    """Asks models, which may cost money and sends data to them."""
    DESTROYS = "destroys"
    """Removes something for good."""


class Consequence(StrEnum):
    """A consequence that a person may want to be asked about first."""

    WRITES = "writes"
    SPENDS = "spends"
    DESTROYS = "destroys"
    SENDS = "sends"
    CERTIFIES = "certifies"
    """Labels count for a certificate in a person's name."""
    EXECUTES = "executes"
    """Code is added that runs on this machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a call, as a person reads it before the call is carried out.

    Attributes:
        summary: One sentence: what will happen.
        calls: Model calls expected, 0 for none.
        expected_cost_usd: Cost to expect after earlier calls, in US dollars; None if nothing is
            expected but the highest.
        highest_cost_usd: The most that it may cost, in US dollars; None if a price is not known.
            It is raised to the expected cost if that is higher. A value that is not finite
            counts as unknown.
        irreversible: Whether it cannot be undone.
        far_reaching: Whether it touches more than was named, though it can be undone.
        destination: Where data is sent, outside the project's and the home's folders; empty if
            nothing is sent. The models that are asked do not count as a destination.
        certifies: Whether labels will count for a certificate, so that their rater must confirm
            them.
        code: Code that is added and can run on this machine, whole; empty if there is none.
        limits: What bounds it, in sentences; empty if nothing does.
        tokens: Tokens expected; 0 if nobody can tell.
        earlier_calls: From how many like calls the expectation comes; 0 if from none.
        is_long: Whether it takes long though it asks no model, as a training does.
    """

    summary: str
    calls: int = 0
    expected_cost_usd: float | None = None
    highest_cost_usd: float | None = 0.0
    irreversible: bool = False
    far_reaching: bool = False
    destination: str = ""
    certifies: bool = False
    code: str = ""
    limits: str = ""
    tokens: int = 0
    earlier_calls: int = 0
    is_long: bool = False

    def __post_init__(self) -> None:
        for name in ("expected_cost_usd", "highest_cost_usd"):
            cost = getattr(self, name)
            if cost is not None and not math.isfinite(cost):
                object.__setattr__(self, name, None)
        expected, highest = self.expected_cost_usd, self.highest_cost_usd
        if expected is not None and highest is not None and expected > highest:
            object.__setattr__(self, "highest_cost_usd", expected)

    @property
    def consequences(self) -> frozenset[Consequence]:
        """What a person must agree to; empty if the plan only reads or can be undone."""
        answers = {
            Consequence.SPENDS: self.highest_cost_usd is None or self.highest_cost_usd > 0,
            Consequence.DESTROYS: self.irreversible or self.far_reaching,
            Consequence.SENDS: bool(self.destination),
            Consequence.CERTIFIES: self.certifies,
            Consequence.EXECUTES: bool(self.code),
        }
        return frozenset(consequence for consequence, holds in answers.items() if holds)

    @property
    def needs_approval(self) -> bool:
        """Whether a person must agree first."""
        return bool(self.consequences)

    @property
    def likely_cost_usd(self) -> float | None:
        """The expected cost, or the highest if nothing else is expected; None if not known."""
        if self.highest_cost_usd is None or self.expected_cost_usd is None:
            return self.highest_cost_usd
        return self.expected_cost_usd

    @property
    def text(self) -> str:
        """The plan in words, with its cost, its destination, its limits and the code it adds."""
        destination = f"Data is sent to {self.destination}." if self.destination else ""
        words = " ".join(part for part in (self._expected, destination, self.limits) if part)
        return f"{words}\n{_excerpt_of_code(self.code)}" if self.code else words

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over all that a person agrees to, without the estimates."""
        terms = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in _ESTIMATES
        }
        return fingerprint_of(terms)

    @property
    def _expected(self) -> str:
        if not self.calls:
            return self.summary
        count = "1 model call" if self.calls == 1 else f"{self.calls} model calls"
        return f"{self.summary} About {count}, {self._price}."

    @property
    def _price(self) -> str:
        expected, highest = self.expected_cost_usd, self.highest_cost_usd
        if highest is None:
            return "at a price that is not known"
        if highest == 0:
            return "free of charge"
        highest_text = f"at most about ${highest:.4f}"
        if expected is None or not self.earlier_calls:
            return highest_text
        past = f"${expected:.4f}, from {self.earlier_calls} earlier calls"
        return past if expected == highest else f"{past}, {highest_text}"


def _excerpt_of_code(code: str) -> str:
    """Return the beginning of code for a person, with the number of characters not shown."""
    excerpt = "".join(
        character if character.isprintable() or character in "\n\t" else f"\\u{ord(character):04x}"
        for character in code[:LONGEST_CODE]
    )
    rest = len(code) - LONGEST_CODE
    if rest <= 0:
        return excerpt
    return (
        f"{excerpt}\n… {rest} more characters are NOT shown here; kiln-mcp approve shows them all."
    )


def fingerprint_of(value: Mapping[str, JsonValue]) -> str:
    """Return a SHA-256 over JSON data in its canonical form, as hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
