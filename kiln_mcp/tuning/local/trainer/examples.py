"""Conversations as tokens, and which of them are learnt: what the assistant says, and its end."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.faults import Unusable

_EXCERPT_BEFORE: Final = 60
_LONGEST_LEARNT: Final = 200


@dataclass(frozen=True, slots=True)
class TokenExample:
    """A conversation as tokens.

    Attributes:
        ids: The tokens.
        is_learnt: For each token whether it counts in the loss.
    """

    ids: Sequence[int]
    is_learnt: Sequence[bool]

    @property
    def first_learnt(self) -> int:
        """The place of the first token that is learnt."""
        return self.is_learnt.index(True)


def read_conversations(file: Path) -> list[list[dict[str, str]]]:
    """Return the conversations of a JSONL file."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line)["conversations"] for line in lines if line.strip()]


def tokenize(tokenizer: Any, conversation: Sequence[dict[str, str]]) -> TokenExample:
    """Return a conversation as tokens by the tokenizer's own chat template.

    The text is written once with all messages, and once up to each answer with the words that open
    it. What lies between is learnt, up to the last token that is not blank.

    Raises:
        Unusable: The tokenizer has no template, or it does not write an answer where it opens one.
    """
    if not tokenizer.chat_template:
        raise Unusable(
            "it has no chat template. Take a model that was trained to answer, or put its template "
            "into the folder as chat_template.jinja"
        )
    text: str = tokenizer.apply_chat_template(conversation, tokenize=False)
    spans = [
        _span(tokenizer, conversation, place, text)
        for place, message in enumerate(conversation)
        if message["role"] == "assistant"
    ]
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    is_learnt = [
        any(begin <= first and last <= end and first < last for begin, end in spans)
        for first, last in encoding["offset_mapping"]
    ]
    if not any(is_learnt):
        raise Unusable("its chat template leaves nothing of the answer to be learnt")
    return TokenExample(encoding["input_ids"], is_learnt)


def _span(
    tokenizer: Any,
    conversation: Sequence[dict[str, str]],
    place: int,
    text: str,
) -> tuple[int, int]:
    """Return where in the text the answer at a place begins and ends."""
    opening: str = tokenizer.apply_chat_template(
        conversation[:place], tokenize=False, add_generation_prompt=True
    )
    dialogue: str = tokenizer.apply_chat_template(conversation[: place + 1], tokenize=False)
    if not (dialogue.startswith(opening) and text.startswith(dialogue.rstrip())):
        raise Unusable(
            "its chat template writes an answer in another way than it opens one, so that nothing "
            "would be learnt rightly"
        )
    return len(opening), len(dialogue.rstrip())


def excerpt_of(tokenizer: Any, example: TokenExample) -> str:
    """Return the end of an example as text, with what is learnt in ⟦ ⟧."""
    edges = [0, *(n for n, (a, b) in enumerate(pairwise(example.is_learnt), 1) if a != b)]
    pieces: list[str] = []
    for begin, end in pairwise([*edges, len(example.ids)]):
        text: str = tokenizer.decode(example.ids[begin:end])
        if example.is_learnt[begin]:
            cut = "…" if len(text) > _LONGEST_LEARNT else ""
            pieces.append(f"⟦{text[:_LONGEST_LEARNT]}{cut}⟧")
        else:
            cut = "…" if len(text) > _EXCERPT_BEFORE else ""
            pieces.append(f"{cut}{text[-_EXCERPT_BEFORE:]}")
    return "".join(pieces)
