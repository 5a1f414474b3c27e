"""The words for labels: values of a scale, and states without a value."""

from collections.abc import Mapping
from typing import Final

from kiln_mcp.labels.ledger import Label, State

STATE_WORDS: Final[Mapping[State, str]] = {
    "both": "both",
    "cannot_judge": "cannot judge",
    "skipped": "skip",
    "withdrawn": "withdrawn",
}
"""How people say the states that have no value."""
_STATES: Final[Mapping[str, State]] = {
    "both": "both",
    "both defensible": "both",
    "either": "both",
    "cannot judge": "cannot_judge",
    "cannot be judged": "cannot_judge",
    "can't judge": "cannot_judge",
    "skip": "skipped",
    "skipped": "skipped",
}


def state_of(word: str) -> State | None:
    """Return the state that a word means; None if it means none."""
    return _STATES.get(" ".join(word.casefold().replace("_", " ").replace("-", " ").split()))


def label_text(value: float, kind: str) -> str:
    """Return the word for a value: pass, fail, critical, or the number of stars."""
    if kind == "five_star":
        return f"{value:g}"
    return {1.0: "pass", 0.0: "fail", -1.0: "critical"}.get(value, f"{value:g}")


def event_text(label: Label, kind: str) -> str:
    """Return the word for what a rater said."""
    if label.value is None:
        return STATE_WORDS.get(label.state, label.state)
    return label_text(label.value, kind)
