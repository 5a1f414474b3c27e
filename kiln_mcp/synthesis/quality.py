"""Judge generated items before they are kept: schema, answer state, repetition, stock phrases."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.datasets.duplicates import earlier_duplicates
from kiln_mcp.datasets.stock_phrases import StockPhrase, stock_phrases
from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.refusal_texts import looks_like_refusal
from storage.text.excerpts import excerpt
from storage.text.json_schema import find_problem

_EXCERPT_LENGTH: Final = 80


class Fault(StrEnum):
    """Why an item is not kept."""

    TRUNCATED = "truncated"
    REFUSED = "refused"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    SCHEMA = "schema"
    DUPLICATE = "duplicate"
    STOCK_PHRASE = "stock_phrase"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A generated item that is to be judged.

    Attributes:
        text: Its text: an input, or an output.
        topic: What it is about; "" if nothing was planned.
        state: The state of the answer that it was in.
    """

    text: str
    topic: str = ""
    state: AnswerState = "complete"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an item is kept.

    Attributes:
        faults: Why it is not, each with a sentence; empty for one that is kept.
    """

    faults: Mapping[Fault, str] = field(default_factory=dict[Fault, str])

    @property
    def is_kept(self) -> bool:
        """Return whether nothing speaks against the item."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Assessment:
    """The verdicts on a batch, in the order of its items, and the phrases that it repeats."""

    verdicts: tuple[Verdict, ...]
    phrases: tuple[StockPhrase, ...] = ()

    @property
    def kept_places(self) -> list[int]:
        """Return the places of the items that are kept."""
        return [place for place, verdict in enumerate(self.verdicts) if verdict.is_kept]

    @property
    def fault_counts(self) -> dict[str, int]:
        """Return how many items have each fault; an item with two counts for both."""
        return dict(Counter(str(fault) for verdict in self.verdicts for fault in verdict.faults))


async def assess(
    candidates: Sequence[Candidate],
    existing: Sequence[str],
    schema: JsonValue = None,
    own_texts: Sequence[str] | None = None,
    embeddings: Path | None = None,
) -> Assessment:
    """Judge a batch of generated items.

    The first of several items that say the same is kept, and as many items with a stock phrase as
    the user's own texts would have. An item that is faulty by itself makes no other a duplicate.

    Args:
        candidates: The items, in the order in which they are preferred.
        existing: Texts that are there already: of the dataset, and kept ones of earlier batches.
        schema: The JSON schema of the texts; None for plain text.
        own_texts: Texts that the user wrote or real users sent, which show how common a phrase is.
            None if they are `existing`.
        embeddings: The folder of the user's embedding model; None to compare letters alone.

    Raises:
        Refusal: The embedding model cannot be read.
    """
    faults = [await _own_faults(candidate, schema) for candidate in candidates]
    sound = [place for place, own in enumerate(faults) if not own]
    texts = [candidates[place].text for place in sound]
    find_earlier = partial(earlier_duplicates, texts, existing, embeddings)
    earlier_ones = await anyio.to_thread.run_sync(find_earlier)
    fresh: list[int] = []
    every = [*existing, *texts]
    for place, other in zip(sound, earlier_ones, strict=True):
        if other is None:
            fresh.append(place)
        else:
            faults[place][Fault.DUPLICATE] = (
                f"It says the same as: {excerpt(every[other], _EXCERPT_LENGTH)}"
            )
    phrases = await anyio.to_thread.run_sync(
        stock_phrases,
        [candidates[place].text for place in fresh],
        [candidates[place].topic for place in fresh],
        existing if own_texts is None else own_texts,
    )
    for phrase in phrases:
        for number in phrase.places[phrase.allowance :]:
            faults[fresh[number]].setdefault(
                Fault.STOCK_PHRASE, f"{_percent(phrase.share)} of the batch say: {phrase.text}"
            )
    return Assessment(tuple(map(Verdict, faults)), phrases)


async def _own_faults(candidate: Candidate, schema: JsonValue) -> dict[Fault, str]:
    """Return what is wrong with an item whatever else there is."""
    if candidate.state != "complete":
        return {Fault(candidate.state): f"The model's answer was {candidate.state}."}
    if not candidate.text.strip():
        return {Fault.EMPTY: "It has no text."}
    if isinstance(schema, dict):
        problem = await _schema_problem(candidate.text, schema)
        return {} if problem is None else {Fault.SCHEMA: problem}
    if looks_like_refusal(candidate.text):
        return {
            Fault.REFUSED: f"It reads like a refusal: {excerpt(candidate.text, _EXCERPT_LENGTH)}"
        }
    return {}


async def _schema_problem(text: str, schema: dict[str, JsonValue]) -> str | None:
    try:
        return await find_problem(json.loads(text), schema)
    except (ValueError, RecursionError) as error:
        return f"It is not JSON that can be checked: {error}"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"
