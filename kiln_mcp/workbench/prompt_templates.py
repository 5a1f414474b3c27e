"""The texts that models read: Markdown files with named slots, every value fenced.

A prompt is the file `kiln_mcp/<room>/prompts/<name>.md`. `{{slot}}` marks a place for a value.
A line that is just `# System`, `# User` or `# Assistant` starts a message of that role; a file
without one is a single user message.

A value is put between `<slot>` and `</slot>`, with hyphens for underscores. If a value contains
one of the template's own tags, that tag loses its angle bracket. So text from data or from a model
can neither leave its fence nor imitate another slot.
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal, cast

from storage.errors import Refusal

Role = Literal["system", "user", "assistant"]

_SLOT: Final = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")
_ROLE: Final = re.compile(r"^# (System|User|Assistant)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptPart:
    """One message of a rendered prompt."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt with named slots.

    Attributes:
        name: `<room>/<name>`, for errors and provenance.
        text: The file's text.
    """

    name: str
    text: str

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the template's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def slots(self) -> frozenset[str]:
        """The names that `render` and `messages` need a value for."""
        return frozenset(_SLOT.findall(self.text))

    def render(self, **values: str | int) -> str:
        """Return the whole text with every slot filled, role headings included.

        Raises:
            Refusal: A slot has no value, or a value has no slot.
        """
        return self._fill(self.text, values)

    def messages(self, **values: str | int) -> tuple[PromptPart, ...]:
        """Return the filled messages in order.

        The template is cut into messages before values go in: a value cannot start a message.

        Raises:
            Refusal: A slot has no value, or a value has no slot.
        """
        pieces = _ROLE.split(self.text)
        preamble = pieces[0].strip()
        sections: list[tuple[str, str]] = [("user", preamble)] if preamble else []
        sections += zip(pieces[1::2], pieces[2::2], strict=True)
        return tuple(
            PromptPart(cast("Role", role.lower()), self._fill(text, values).strip())
            for role, text in sections
        )

    def _fill(self, text: str, values: dict[str, str | int]) -> str:
        slots = self.slots
        if slots ^ values.keys():
            raise _slot_mismatch(self.name, frozenset(values), slots)
        tags = frozenset(_tag(slot) for slot in slots)
        return _SLOT.sub(lambda hit: fence(_tag(hit[1]), str(values[hit[1]]), tags), text)


def _slot_mismatch(name: str, values: frozenset[str], slots: frozenset[str]) -> Refusal:
    parts = [
        f"{label} {', '.join(sorted(names))}"
        for label, names in (("missing", slots - values), ("unknown", values - slots))
        if names
    ]
    return Refusal(
        "Prompt '{name}': {reason}. Its slots are: {slots}.",
        name=name,
        reason="; ".join(parts),
        slots=sorted(slots) or "none",
    )


def _tag(slot: str) -> str:
    return slot.replace("_", "-")


def fence(tag: str, value: str, more_tags: frozenset[str] = frozenset()) -> str:
    """Return the value between `<tag>` and `</tag>`, with such tags inside it defused.

    Args:
        tag: Lower-case letters, digits and hyphens.
        value: Any text.
        more_tags: More tags that the value must not be able to write.
    """
    names = "|".join(re.escape(name) for name in sorted(more_tags | {tag}))
    # Models read `< /tag`, `<\tag` and `< / TAG` as tags too, so anything but a word may stand
    # between the bracket and the name.
    safe = re.sub(rf"<(?=[^<a-zA-Z0-9]*(?:{names}))", "&lt;", value, flags=re.IGNORECASE)
    gap = "\n" if "\n" in value else ""
    return f"<{tag}>{gap}{safe}{gap}</{tag}>"


@functools.cache
def load_prompt(room: str, name: str) -> PromptTemplate:
    """Return the prompt `kiln_mcp/<room>/prompts/<name>.md`.

    Raises:
        Refusal: There is no such file.
    """
    folder = files("kiln_mcp") / room / "prompts"
    names: list[str] = []
    if re.fullmatch(r"[a-z_]+", room) and folder.is_dir():
        names = sorted(item.name[:-3] for item in folder.iterdir() if item.name.endswith(".md"))
    if name not in names:
        raise Refusal(
            "There is no prompt '{name}' in {room}; valid names: {names}.",
            name=name,
            room=room,
            names=names or "none",
        )
    return PromptTemplate(f"{room}/{name}", (folder / f"{name}.md").read_text(encoding="utf-8"))
