"""What users said about an answer: kept as theirs, and a rating only where somebody maps it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from storage.exchange.traces.langfuse_scores import UNKNOWN
from storage.exchange.traces.spans import Feedback

_MOST_ENTRIES: Final = 20
_LONGEST: Final = 2_000
_FEW_STARS, _MOST_STARS = 1, 5
_USER_NAMES: Final = re.compile(r"thumb|feedback|like|user|rating|helpful|satisf|vote", re.I)
_NO_USERS: Final = frozenset({"evaluator", UNKNOWN})
_UP: Final = frozenset({"up", "thumbs_up", "thumb_up", "positive", "like", "liked", "good", "yes"})
_DOWN: Final = frozenset(
    {"down", "thumbs_down", "thumb_down", "negative", "dislike", "disliked", "bad", "no"}
)
THUMB_UP, THUMB_DOWN = "user_thumb_up", "user_thumb_down"


def feedback_properties(feedback: Sequence[Feedback]) -> Mapping[str, str]:
    """Return feedback as properties of an answer's source; none if there is none."""
    if not feedback:
        return {}
    entries = [asdict(_short_entry(entry)) for entry in _each_once(feedback)[:_MOST_ENTRIES]]
    data = [{key: value for key, value in entry.items() if value is not None} for entry in entries]
    return {"feedback": json.dumps(data, ensure_ascii=False)}


def thumb_tags(feedback: Sequence[Feedback]) -> list[str]:
    """Return the tags that tell whether users were content, where they said it plainly."""
    thumbs = {
        _thumb(entry.value)
        for entry in feedback
        if entry.author not in _NO_USERS and _USER_NAMES.search(entry.name)
    }
    return [*([THUMB_UP] if 1 in thumbs else []), *([THUMB_DOWN] if 0 in thumbs else [])]


def rating_of(
    feedback: Sequence[Feedback], name: str | None, *, is_stars: bool
) -> tuple[float | None, bool]:
    """Return the rating that a feedback stands for, and whether it is a thumb.

    Args:
        feedback: What was said.
        name: The feedback that is a rating; None for none.
        is_stars: Whether its numbers are stars from 1 to 5.

    Raises:
        ValueError: It is neither a thumb nor a whole number of stars.
    """
    values = [entry.value for entry in feedback if entry.name == name and entry.value is not None]
    if name is None or not values:
        return None, False
    value = values[-1]
    thumb = None if is_stars and not isinstance(value, bool) else _thumb(value)
    if thumb is not None:
        return thumb, True
    stars = None if isinstance(value, bool | str) else value
    if stars is not None and _FEW_STARS <= stars <= _MOST_STARS and stars == int(stars):
        return stars, False
    raise ValueError(
        f"its feedback {name!r} is {value!r}, which is no rating: neither up or down, 0 or 1, "
        "nor a whole number from 1 to 5"
    )


def _thumb(value: object) -> int | None:
    """Return 1 for a thumb up and 0 for a thumb down; None if it is no thumb."""
    if isinstance(value, str):
        word = value.strip().casefold().replace("-", "_").replace(" ", "_")
        return 1 if word in _UP else 0 if word in _DOWN else None
    if value in (1, 0, -1):
        return 1 if value == 1 else 0
    return None


def _each_once(feedback: Sequence[Feedback]) -> list[Feedback]:
    unique: list[Feedback] = []
    for entry in feedback:
        if entry not in unique[-_MOST_ENTRIES:]:
            unique.append(entry)
    return unique


def _short_entry(entry: Feedback) -> Feedback:
    comment = entry.comment
    value = entry.value[:_LONGEST] if isinstance(entry.value, str) else entry.value
    if comment is not None and len(comment) > _LONGEST:
        comment = comment[:_LONGEST] + "…"
    return replace(entry, name=entry.name[:_LONGEST], value=value, comment=comment)
