"""The reasoning that a server leaves in an answer's text, between marks of several dialects.

| dialect | models |
|---|---|
| pairs of tags at the beginning (`PAIRS`), in any case | DeepSeek, Qwen, Magistral, Seed, Kimi, … |
| a closing tag alone: the template wrote the opening one | DeepSeek, Qwen, GLM |
| harmony channels, with or without their special tokens | gpt-oss |
| tokens that end the turn, behind the answer (`END_TOKENS`) | any whose server keeps them |
| marks around the answer as well (`_WRAPPERS`) | Command A, Sky-T1 |

Fields of a message that hold reasoning are in `openai_format.REASONING_FIELDS`.
"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Final

from kiln_mcp.llm.deltas import AnswerRestart, Delta, ReasoningDelta, TextDelta

PAIRS: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<thoughts>", "</thoughts>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<unused94>thought", "<unused95>"),
)
_WRAPPERS: Final = (
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
"""Marks around an answer that follows its reasoning."""
END_TOKENS: Final = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>"),
    *("<|return|>", "<|eot|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "<end_of_turn>"),
    *("<\uff5cend\u2581of\u2581sentence\uff5c>", "<eos>", "</s>"),
)
"""Tokens with which a model ends its turn; some servers leave them in the text."""
_LAST_TOKENS: Final = re.compile(rf"(?:(?:{'|'.join(map(re.escape, END_TOKENS))})\s*)+\Z")
LATE_MARK: Final = "What came before was the model's reasoning"
_MESSAGE: Final = "<|message|>"
_HARMONY: Final = ("<|channel|>", "<|start|>", _MESSAGE)
_BARE_HARMONY: Final = "analysis"
_FINAL_CHANNEL: Final = "assistantfinal"
_FINAL_MARK: Final = "<|channel|>final<|message|>"
_HANDOVER: Final = re.compile(r"(?:<\|end\|>)?(?:<\|start\|>assistant)?$")
_CHANNEL: Final = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(.*?)(?=<\|end\|>|<\|return\|>|<\|call\|>|<\|start\|>|<\|channel\|>|\Z)",
    re.DOTALL,
)
_OPENINGS: Final = tuple(opening for opening, _ in (*PAIRS, *_WRAPPERS))
_STARTS: Final = (*_OPENINGS, *_HARMONY, _BARE_HARMONY)
_CLOSINGS: Final = tuple(closing for _, closing in PAIRS)
_LATE_MARKS: Final = (*_CLOSINGS, _FINAL_MARK, _FINAL_CHANNEL)
_LATE: Final = re.compile("|".join(map(re.escape, _LATE_MARKS)), re.IGNORECASE)
_MARGIN: Final = re.compile(r"[\s\ufeff]*")
_ANY_MARK: Final = re.compile(r"[<◁]|\[/?THINK\]|assistantfinal", re.IGNORECASE)
"""Found in every text with a mark of `PAIRS` or of harmony."""
_AROUND: Final = ("\n", "{", "[")
_QUOTES: Final = (" ", "`", '"', "'")


class _Place(Enum):
    BEFORE = auto()
    LEADING = auto()
    THINKING = auto()
    AFTER = auto()
    TEXT = auto()
    CHANNELS = auto()


class ReasoningSplitter:
    """Separates reasoning from text, in pieces that are cut anywhere, even within marks."""

    def __init__(self) -> None:
        self._place = _Place.BEFORE
        self._buffer = ""
        self._closing = ""
        self._end_mark = ""  # around the answer
        self._starts = _STARTS
        self._reasoning = ""
        self._text = ""

    def follow_reasoning(self) -> None:
        """Leave out the empty lines between reasoning that had a field of its own and the text."""
        if self._place is _Place.BEFORE and not self._buffer:
            self._place = _Place.LEADING

    def feed(self, piece: str) -> Iterator[Delta]:
        """Take the next piece; yield what is certain by now.

        A closing mark without an opening one makes all text before it reasoning: `AnswerRestart`
        takes that text back.
        """
        self._buffer += piece
        if self._place is _Place.LEADING:
            self._buffer = self._buffer.lstrip()
            self._place = _Place.BEFORE if self._buffer else _Place.LEADING
        while self._place in {_Place.BEFORE, _Place.THINKING, _Place.AFTER}:
            place, length = self._place, len(self._buffer)
            if self._place is _Place.BEFORE:
                self._begin()
            if self._place is _Place.THINKING:
                yield from self._think()
            if self._place is _Place.AFTER:
                self._buffer = self._buffer.lstrip()
                self._place = _Place.BEFORE if self._buffer else _Place.AFTER
            if (place, length) == (self._place, len(self._buffer)):
                break
        if self._place is _Place.TEXT:
            yield from self._speak(is_end=False)

    def end(self) -> Iterator[Delta]:
        """Yield the rest of the text and of the reasoning, at the end of the answer."""
        if self._place is _Place.CHANNELS:
            yield from self._channels()
        elif self._place is _Place.THINKING:
            yield from self._add_reasoning(self._buffer)
        else:
            yield from self._speak(is_end=True)
        self._buffer = ""

    def _begin(self) -> None:
        started = self._buffer[_margin(self._buffer) :]
        start = started.lower()
        if any(mark.lower().startswith(start) and mark.lower() != start for mark in self._starts):
            return
        for opening, closing in PAIRS:
            if start.startswith(opening.lower()):
                self._place, self._closing = _Place.THINKING, closing
                self._buffer = started[len(opening) :]
                self._starts = _OPENINGS
                return
        for opening, closing in _WRAPPERS:
            if start.startswith(opening.lower()):
                self._place, self._end_mark = _Place.TEXT, closing
                self._buffer = started[len(opening) :]
                return
        is_first = self._starts is _STARTS
        is_harmony = is_first and started.startswith(_HARMONY)
        is_bare = is_first and re.match(_BARE_HARMONY + r"[A-Z\"']", started) is not None
        if is_first and started == _BARE_HARMONY:  # the next character tells
            return
        self._place = _Place.CHANNELS if is_harmony or is_bare else _Place.TEXT

    def _think(self) -> Iterator[Delta]:
        mark = re.search(re.escape(self._closing), self._buffer, re.IGNORECASE)
        if mark is not None:
            reasoning = self._buffer[: mark.start()]
            self._place = _Place.AFTER
            self._buffer = self._buffer[mark.end() :]
            yield from self._add_reasoning(reasoning)
            return
        reasoning = self._buffer
        overlap = _overlap(reasoning, (self._closing,))
        self._buffer = reasoning[len(reasoning) - overlap :]
        yield from self._add_reasoning(reasoning[: len(reasoning) - overlap])

    def _speak(self, *, is_end: bool) -> Iterator[Delta]:
        """Yield text; hold back what may be a closing mark that nothing opened."""
        while (mark := _LATE.search(self._buffer)) is not None:
            rest = self._buffer[mark.end() :]
            if not (rest or is_end):
                break
            text_before = self._text + self._buffer[: mark.start()]
            if not _is_late_mark(text_before, mark.group(), rest):
                yield from self._add_text(self._buffer[: mark.end()])
                self._buffer = rest
                continue
            yield AnswerRestart(LATE_MARK)
            text_before = _without_channel(text_before, mark.group())
            reasoning = "\n".join(filter(None, (self._reasoning, text_before)))
            self._end_mark = "<|return|>" if mark.group() == _FINAL_MARK else self._end_mark
            self._reasoning = self._text = ""
            yield from self._add_reasoning(reasoning)
            self._buffer = rest.lstrip()
            self._place = _Place.TEXT if self._buffer else _Place.AFTER
        if mark is None and not is_end:
            overlap = _overlap(self._buffer, (*_LATE_MARKS, *END_TOKENS, self._end_mark))
            text = self._buffer[: len(self._buffer) - overlap]
            tokens = _LAST_TOKENS.search(text)
            text = text[: tokens.start()] if tokens else text
        else:
            text = self._buffer if mark is None else self._buffer[: mark.start()]
        self._buffer = self._buffer[len(text) :]
        yield from self._add_text(self._without_last_tokens(text) if is_end else text)

    def _without_last_tokens(self, text: str) -> str:
        """Return text without the tokens that end the turn; `</s>` may close a `<s>` of HTML."""
        tokens = _LAST_TOKENS.search(text)
        is_html = tokens is not None and "<s>" in f"{self._text}{text}".lower()
        return text if tokens is None or is_html else text[: tokens.start()]

    def _channels(self) -> Iterator[Delta]:
        reasoning, text = _read_channels(self._buffer)
        yield from self._add_reasoning(reasoning)
        yield from self._add_text(text)

    def _add_reasoning(self, text: str) -> Iterator[Delta]:
        self._reasoning += text
        if text:
            yield ReasoningDelta(text)

    def _add_text(self, text: str) -> Iterator[Delta]:
        if self._end_mark:
            text = text.replace(self._end_mark, "")
        self._text += text
        if text:
            yield TextDelta(text)


def split_reasoning(content: str, reasoning: str) -> tuple[str, str]:
    """Return the answer and the reasoning, even if a server left it in the text.

    Args:
        content: The whole text.
        reasoning: What the server gave as reasoning by itself; it goes first.
    """
    if not (_ANY_MARK.search(content) or content.lstrip().startswith(_BARE_HARMONY)):
        return content.lstrip() if reasoning else content, reasoning.strip()
    splitter = ReasoningSplitter()
    if reasoning:
        splitter.follow_reasoning()
    text, inline_reasoning = fold([*splitter.feed(content), *splitter.end()])
    return text, "\n".join(filter(None, (reasoning.strip(), inline_reasoning.strip())))


def fold(deltas: Iterable[Delta]) -> tuple[str, str]:
    """Return the text and the reasoning that deltas add up to."""
    text, reasoning = "", ""
    for delta in deltas:
        match delta:
            case TextDelta(piece):
                text += piece
            case ReasoningDelta(piece):
                reasoning += piece
            case AnswerRestart():
                text = reasoning = ""
            case _:
                pass
    return text, reasoning


def _is_late_mark(text_before: str, closing: str, rest: str) -> bool:
    """Return whether a closing mark ends reasoning, instead of being quoted in an answer."""
    if closing == _FINAL_MARK:
        return True
    if closing == _FINAL_CHANNEL:
        return not text_before.strip() or text_before.lstrip().startswith(_BARE_HARMONY)
    opening = next((first for first, second in PAIRS if second.lower() == closing.lower()), None)
    if opening is None or opening.lower() in text_before.lower():
        return False
    if text_before.endswith(_QUOTES):
        return False
    is_before_text = not rest or rest.startswith(_AROUND) or rest[0].isalnum()
    return text_before.endswith("\n") or is_before_text


def _without_channel(text: str, mark: str) -> str:
    """Return reasoning without the marks that lead from it to the final channel."""
    if mark == _FINAL_MARK:
        return _HANDOVER.sub("", text)
    return text.lstrip().removeprefix(_BARE_HARMONY) if mark == _FINAL_CHANNEL else text


def _margin(text: str) -> int:
    match = _MARGIN.match(text)
    return match.end() if match else 0


def _overlap(text: str, marks: tuple[str, ...]) -> int:
    """Return how many characters at the end of a text may begin one of some marks."""
    longest = max(map(len, marks)) - 1
    lower_marks = [mark.lower() for mark in marks]
    for length in range(min(longest, len(text)), 0, -1):
        end = text[-length:].lower()
        if any(mark.startswith(end) for mark in lower_marks):
            return length
    return 0


def _read_channels(content: str) -> tuple[str, str]:
    """Return the reasoning and the text of an answer in harmony channels.

    Source: OpenAI, harmony response format. Text of a channel that names no other is its message.
    """
    if not content.lstrip().startswith(_HARMONY):
        reasoning_text, final, text = content.lstrip().partition(_FINAL_CHANNEL)
        if not final:
            return "", content
        return reasoning_text.removeprefix(_BARE_HARMONY), text.lstrip()
    if content.lstrip().startswith(_MESSAGE):
        channel = "analysis" if _FINAL_MARK in content else "final"
        content = f"<|channel|>{channel}{content.lstrip()}"
    reasoning: list[str] = []
    texts: list[str] = []
    for channel, message in _CHANNEL.findall(content):
        (texts if channel == "final" else reasoning).append(message)
    if not (reasoning or texts):
        return "", content
    return "\n".join(reasoning), "".join(texts).strip()
