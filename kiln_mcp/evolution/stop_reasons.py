"""Why a search ended, as sentences for people."""

from collections.abc import Mapping
from typing import Final

_SENTENCES: Final[Mapping[str, str]] = {
    "budget": "The search has used its calls; more calls may find more.",
    "converged": "The failures that are left are too few to learn from: more calls bring little.",
    "no proposals left": "Nothing was left to try: more calls alone change nothing.",
    "stopped": "The search was told to stop.",
    "too little budget to find 10 points": (
        "The calls were too few to find a gain of 10 points: raise max_calls."
    ),
}


def stop_sentence(reason: str) -> str:
    """Return why a search ended as a sentence; "" for one that has not ended."""
    return _SENTENCES.get(reason, f"It ended: {reason}." if reason else "")
