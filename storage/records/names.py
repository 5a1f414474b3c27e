"""Names: what a person types, what the format stores, what a folder is called.

The format stores compatibility-decomposed text (Unicode NFKD) and forbids some characters. A
person types any name and sees it again: composed (NFC), and with a forbidden character where its
stand-in is stored. Spaces in a row become one, and what nobody can see is left out.

What decomposition alters for good, such as ½ or a full-width letter, and the underscores that the
format refuses at a name's ends or in a row, a record of ours keeps beside its name, under `TYPED`.
Other programs drop that key when they save. Then, or if the two do not fit any more, the name is
shown as it is stored.
"""

import re
import unicodedata
from collections.abc import Mapping

from storage.errors import InvalidValue
from storage.text.excerpts import excerpt

LONGEST_NAME = 120
TYPED = "name_as_typed"
"""The key of a record's name as it was typed, where the stored form alone would not show it."""
_LONGEST_SHOWN = 60
_LABEL_KEYS = ("input", "instruction", "text", "id")
"""The keys that tell people which record is meant where it has no name, the best one first."""
LONGEST_SHORT_NAME = 32
_FOLDER_NAME_LENGTH = 32
_FORBIDDEN = '/\\?%*:|"<>.,;='
_STAND_INS = "\u2215\u29f5\u2e2e\u2052\u2217\ua789\u2223\u02ba\u02c2\u02c3\ua4f8\u2e34\u204f\ua78a"
"""Rare characters that look like the forbidden ones, in their order, and do not decompose."""
_TO_STORE = str.maketrans(_FORBIDDEN, _STAND_INS)
_TO_SHOW = str.maketrans(_STAND_INS, _FORBIDDEN)
_UNSEEN = re.compile(r"[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters without a look of their own, which turn the order of letters or part a word."""
_BLANK = frozenset({"Cc", "Cs", "Zs", "Zl", "Zp"})


class _VisibleForms(dict[int, int | str | None]):
    """What each character becomes in a name, looked up once: a name of a megabyte stays quick."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        form: int | str | None = code
        if _UNSEEN.match(character):
            form = None
        elif unicodedata.category(character) in _BLANK:
            form = " "
        self[code] = form
        return form


_VISIBLE_FORMS = _VisibleForms()
_SPACES = re.compile(r" {2,}")
_BLANK_RUNS = re.compile(r"([\s_])[\s_]+")


def stored_name(text: str) -> str:
    """Return the form of a name that files hold."""
    return unicodedata.normalize("NFKD", text).translate(_TO_STORE)


def shown_name(text: str) -> str:
    """Return the form of a name that people see."""
    return unicodedata.normalize("NFC", text.translate(_TO_SHOW))


def typed_name(text: str) -> str:
    """Return a name as it was typed, as far as files can hold it."""
    nfc_text = unicodedata.normalize("NFC", text.translate(_TO_SHOW))
    visible = _SPACES.sub(" ", _replace_blanks(nfc_text)).strip(" ")
    stored_form = name_to_store(text)
    fits = len(visible) <= LONGEST_NAME and name_to_store(visible) == stored_form
    return visible if fits else shown_name(stored_form)


def shown_name_of(fields: Mapping[str, object]) -> str:
    """Return the name in a record's file as people see it; "" if it has none."""
    name, input_name = fields.get("name"), fields.get(TYPED)
    if not isinstance(name, str):
        return ""
    is_its_form = isinstance(input_name, str) and stored_name(name) in {
        stored_name(input_name),
        name_to_store(input_name),
    }
    return input_name if is_its_form and isinstance(input_name, str) else shown_name(name)


def folded_name(text: str) -> str:
    """Return the form in which names are compared, however they were typed or are shown."""
    return name_to_store(text).casefold()


def display_label(fields: Mapping[str, object]) -> str:
    """Return what people know a record by: its name, else how it begins, else its id."""
    candidates = (shown_name_of(fields), *(fields.get(key) for key in _LABEL_KEYS))
    text = next((text for text in candidates if isinstance(text, str) and text.strip()), "")
    line = " ".join(shown_name(text).split())
    return excerpt(line, _LONGEST_SHOWN)


def acceptable_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the nearest name that can be stored, "" if nothing of the text can."""
    return shown_name(name_to_store(text)[:longest].strip(" _"))


def check_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the form that people see of a name that can be stored: shown as its file alone says.

    Raises:
        Refusal: Nothing of it can be seen, or it is too long.
    """
    stored_form = name_to_store(text)
    if not stored_form:
        raise InvalidValue("The name '{name}' is empty. Give it at least one character.", name=text)
    if len(stored_form) > longest:
        raise InvalidValue(
            "The name '{name}' has {length} characters as files hold it, and {longest} is the "
            "most. Use '{suggestion}'.",
            name=excerpt(text, _LONGEST_SHOWN),
            length=len(stored_form),
            longest=longest,
            suggestion=acceptable_name(text, longest),
        )
    return shown_name(stored_form)


def _replace_blanks(text: str) -> str:
    """Return a text without what nobody can see, and with a space for each kind of blank."""
    return text.translate(_VISIBLE_FORMS)


def name_to_store(text: str) -> str:
    """Return the stored form of a name without what the format refuses in it."""
    return _with_single_spaces(stored_name(text))


def _with_single_spaces(text: str) -> str:
    """Return a text without what nobody can see, and with single spaces between words."""
    return _BLANK_RUNS.sub(r"\1", _replace_blanks(text)).strip(" _")


def folder_name(record_id: str, name: str | None) -> str:
    """Return the name of a record's folder: its id, and the start of its name where it has one."""
    if not name:
        return record_id
    plain = "".join(" " if character in _FORBIDDEN else character for character in name)
    safe = name_to_store(plain)[:_FOLDER_NAME_LENGTH].rstrip()
    return f"{record_id} - {safe}" if safe else record_id
