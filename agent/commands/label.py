"""Labels in the chat: an item whole, one key for each answer, each answer saved at once."""

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue
from rich.console import Group
from rich.rule import Rule
from rich.text import Text

from agent.commands.arguments import read_arguments
from agent.fences import printable
from storage.errors import Refusal

if TYPE_CHECKING:
    from agent.session import Session

DRAW: Final = "draw_items_to_label"
_SAVE: Final = "label_items"
_UNDO: Final = "undo"
_QUIT: Final = "quit"
_COMMON_KEYS: Final = {"b": "both", "c": "cannot judge", "s": "skip", "u": _UNDO, "q": _QUIT}
_STARS: Final = {str(number): str(number) for number in range(1, 6)}
_PASS_FAIL: Final = {"p": "pass", "f": "fail", "!": "critical"}


@dataclass(slots=True)
class _Labelling:
    """One batch of items.

    Attributes:
        session: The session.
        place: The arguments that name the project, the eval and the rater.
        questions: An item, with its id, input and output, and a score of it.
        words: What may be said of each score.
        answers: The answers so far, in the order of the questions.
    """

    session: "Session"
    place: Mapping[str, JsonValue]
    questions: Sequence[tuple[Mapping[str, str], str]]
    words: Mapping[str, Sequence[str]]
    answers: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        while len(self.answers) < len(self.questions):
            item, score = self.questions[len(self.answers)]
            self._show(item, score)
            keys = _keys(self.words[score])
            word = await self.session.front.press(_key_line(keys), keys)
            if word is None or word == _QUIT:
                break
            if word == _UNDO:
                await self._undo()
            else:
                await self._save(item["item"], score, word)
                self.answers.append(word)
        self.session.front.say(f"{len(self.answers)} of {len(self.questions)} labels are given.")

    async def _undo(self) -> None:
        """Go back to the last question; its next answer takes the place of the one before."""
        if not self.answers:
            self.session.front.say("There is nothing to undo.", "muted")
            return
        self.answers.pop()
        self.session.front.say("Answer again: the new label takes the place of the last.", "muted")

    async def _save(self, item: str, score: str, word: str) -> None:
        label: JsonValue = {"item": item, "score": score, "label": word}
        result = await self.session.call(_SAVE, {**self.place, "labels": [label]})
        if result.failed:
            raise Refusal("The label was not saved: {reason}", reason=result.text)

    def _show(self, item: Mapping[str, str], score: str) -> None:
        title = f"{score}: {len(self.answers) + 1} of {len(self.questions)}"
        parts = (Text("Input", "bold"), Text(printable(item["input"])), Text(),
                 Text("Output", "bold"), Text(printable(item["output"])))  # fmt: skip
        head = Rule(title, align="left") if self.session.front.view.has_boxes else Text(title)
        self.session.front.print(Group(head, *parts))


async def label(session: "Session", words: str) -> None:
    """Label the next items of an eval. No verdict is shown."""
    if not session.front.reader.is_person:
        raise Refusal("Labels are a person's, and none is at a terminal. Use `kiln-mcp label`.")
    tool = session.tool(DRAW)
    arguments = {"rater": getpass.getuser(), **read_arguments(words, tool.input_schema, "eval")}
    await session.add_places(tool, arguments)
    result = await session.call(DRAW, arguments)
    batch = result.structured
    if result.failed or not isinstance(batch, dict):
        session.front.view.show_whole()
        return
    await label_batch(session, arguments, batch)


async def label_batch(
    session: "Session", arguments: Mapping[str, JsonValue], batch: Mapping[str, JsonValue]
) -> None:
    """Label the items that were drawn.

    Args:
        session: The session.
        arguments: Those of the draw.
        batch: What the draw answered.
    """
    if not batch.get("items"):
        session.front.view.show_whole()
        return
    place = {name: arguments[name] for name in ("project", "eval")}
    place["rater"] = arguments.get("rater") or getpass.getuser()
    items = cast("Sequence[Mapping[str, str]]", batch["items"])
    scores = cast("Mapping[str, Sequence[str]]", batch["scores"])
    questions = [(item, score) for item in items for score in scores]
    await _Labelling(session, place, questions, scores).run()


def _keys(words: Sequence[str]) -> dict[str, str]:
    """Return the keys for what may be said of a score."""
    own = {key: word for key, word in {**_PASS_FAIL, **_STARS}.items() if word in words}
    return {**own, **_COMMON_KEYS}


def _key_line(keys: Mapping[str, str]) -> str:
    parts = [f"{key} {word}" for key, word in keys.items() if key != word]
    stars = ["1 to 5 stars"] if "1" in keys else []
    return " · ".join([*stars, *parts]) + "  "
