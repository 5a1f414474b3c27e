"""Single values in words: a choice, a number, yes or no, as people and models write them.

A value may stand between marks (`**4**`, `<score>4</score>`, `[[4]]`), and in a text of its
own with a comment behind it ("PASS: it fits", "4 (good)") that names no other value.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

Schema = Mapping[str, JsonValue]


class Absent:
    """No value can be read."""


ABSENT: Final = Absent()
MARKUP: Final = " \t\r\n*_`'\".!|“”\u2018\u2019«»✅✓✔❌✗✘\ufe0f"
_WRAPPERS: Final = (
    re.compile(r"<(\w{1,20})>(?P<inner>[^<>]*)</\1>"),
    re.compile(r"\$?\\boxed\{(?:\\text\{)?(?P<inner>[^{}]*)\}{1,2}\$?"),
    re.compile(r"\[\[(?P<inner>[^\[\]]*)\]\]"),
)
_COMMENT: Final = re.compile(r"(?<!\s)\s*+(?:[:;(|\u2013\u2014]|[,.]\s|(?<=\s)(?:-|because\b))")
_NUMBER: Final = re.compile(
    r"([-+]?\d{1,15}(?:\.\d{1,15}|,\d{1,2})?|[a-z]{3,5})"
    r"(?:\s*(?:/|out of)\s*(\d{1,6}))?(?:\s*(?:stars?|points?))?",
    re.IGNORECASE,
)
"""A comma before one or two digits is a decimal one; before three it may part thousands."""
_NUMBER_WORDS: Final[Mapping[str, int]] = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
_STARS: Final = re.compile(r"([★⭐]{1,10})(☆{0,9})")
_YES: Final = {"true": True, "yes": True, "false": False, "no": False}
_NOTHING: Final = re.compile(
    r"null|none|n/?a|not applicable|abstain|(?:it )?(?:can ?not|can't) (?:be judged|judge)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_FORMS: Final[Mapping[str, frozenset[str]]] = {
    "pass": frozenset({"passed", "passes"}),
    "fail": frozenset({"failed", "fails", "failure"}),
}


def read_word(text: str, schema: Schema) -> JsonValue | Absent:
    """Return the value of a schema that a text means as a whole."""
    words = _unwrap(text.strip(MARKUP))
    choices = choices_of(schema)
    if choices is not None:
        matches = [value for value in choices if _means(words, value)]
        return matches[0] if len(matches) == 1 else ABSENT
    kinds = kinds_of(schema)
    if "null" in kinds and _NOTHING.fullmatch(words):
        return None
    if kinds & {"integer", "number"}:
        return _number(words, schema)
    if "boolean" in kinds:
        return _YES.get(words.casefold(), ABSENT)
    return text.strip() if "string" in kinds else ABSENT


def read_remark(text: str, schema: Schema) -> JsonValue | Absent:
    """Return the value of a schema with which a text begins, if the rest names no other one."""
    value = read_word(text, schema)
    words = text.strip(MARKUP)
    comment = _COMMENT.search(words)
    if not isinstance(value, Absent) or comment is None or takes_any_text(schema):
        return value
    value = read_word(words[: comment.start()], schema)
    choices = choices_of(schema)
    rest = words[comment.end() :]
    if choices is None:
        return value if not re.search(r"\d", rest) else ABSENT
    return value if not _names_another(rest, choices, value) else ABSENT


def kinds_of(schema: Schema) -> frozenset[str]:
    """Return the JSON types that a schema names; empty if it names none."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    return frozenset(str(part) for part in kind) if isinstance(kind, list) else frozenset()


def choices_of(schema: Schema) -> list[JsonValue] | None:
    """Return the values that a schema lists; None if it lists none."""
    if "const" in schema:
        return [schema["const"]]
    choices = schema.get("enum")
    return choices if isinstance(choices, list) else None


def takes_any_text(schema: Schema) -> bool:
    """Return whether any text fits a schema."""
    return "string" in kinds_of(schema) and choices_of(schema) is None


def plain(name: str) -> str:
    """Return a name without case, spaces and marks between its words."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _unwrap(words: str) -> str:
    for wrapper in _WRAPPERS:
        match = wrapper.fullmatch(words)
        if match is not None:
            return match["inner"].strip(MARKUP)
    return words


def _means(words: str, value: JsonValue) -> bool:
    match value:
        case None:
            return _NOTHING.fullmatch(words) is not None
        case bool():
            return _YES.get(words.casefold()) is value
        case str():
            return _means_text(words.casefold(), value.casefold())
        case int() | float():
            return _number(words, {"type": "number"}) == value
        case _:
            return False


def _means_text(words: str, value: str) -> bool:
    """Return whether words stand for a choice; yes and true are one, but neither is a pass."""
    is_same_truth = words in _YES and _YES[words] is _YES.get(value)
    return plain(words) == plain(value) or is_same_truth or words in _FORMS.get(value, ())


def _names_another(rest: str, choices: Sequence[JsonValue], value: JsonValue | Absent) -> bool:
    """Return whether a comment names another choice than the one before it."""
    words = {word.casefold() for word in re.findall(r"\w+", rest)}
    other_choices = [choice for choice in choices if choice != value and choice is not None]
    return any(_means(word, choice) for word in words for choice in other_choices)


def _number(words: str, schema: Schema) -> JsonValue | Absent:
    stars = _STARS.fullmatch(words.replace("\ufe0f", ""))
    if stars is not None:
        is_whole = not stars[2] or len(stars[1] + stars[2]) == schema.get("maximum")
        return len(stars[1]) if is_whole else ABSENT
    match = _NUMBER.fullmatch(words)
    if match is None or (match[2] and float(match[2]) != schema.get("maximum")):
        return ABSENT
    word = match[1].casefold()
    if word.isalpha():
        return _NUMBER_WORDS.get(word, ABSENT)
    value = float(word.replace(",", "."))
    return int(value) if value.is_integer() else value
