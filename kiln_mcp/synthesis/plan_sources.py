"""What inputs are made from: passages of documents, and traces of real users."""

import codecs
import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread

from kiln_mcp.synthesis.data_plan import DataPlan, PlanSource
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.personal_details import PersonalDetails
from kiln_mcp.synthesis.plan_settings import BEGINNING, PlanSettings
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRun
from storage.errors import NextStep, Refusal, system_reason
from storage.files import read_plain

T = TypeVar("T")

LONGEST_PASSAGE: Final = 1500
"""Characters of a passage: so many hold an answer and leave room for eight of them in one call."""
_SHORTEST_PASSAGE: Final = 80
_LARGEST_FILE: Final = 4 << 20
MOST_PASSAGES: Final = 400
"""The passages that a plan holds: of more, so many are drawn."""
_BREAK: Final = re.compile(r"\n\s*\n")
_SENTENCE_END: Final = re.compile(r"[.!?]\s+|[\u3002\uff01\uff1f]\s*")
_SPACE: Final = re.compile(r"\s+")


async def with_sources(
    workspace: Workspace, context: GenerationContext, plan: DataPlan, settings: PlanSettings
) -> DataPlan:
    """Return a plan with the passages or traces that its settings name; unchanged without any.

    Raises:
        Refusal: A file cannot be read as text, or there are no imported traces.
    """
    if settings.documents:
        passages: list[PlanSource] = []
        for name in settings.documents:
            place = workspace.place(name)
            passages += await anyio.to_thread.run_sync(_passages_of, place)
        plan = plan.with_changes(
            {
                **BEGINNING,
                "source_kind": "passage",
                "sources": spread(passages, MOST_PASSAGES, plan.seed),
                "source_total": len(passages),
                "labels": [],
            }
        )
    elif settings.traces:
        runs = _imported_runs(context)
        some_runs = spread(runs, settings.traces, plan.seed)
        traces = await anyio.to_thread.run_sync(_without_details, some_runs)
        plan = plan.with_changes(
            {
                **BEGINNING,
                "source_kind": "trace",
                "sources": traces,
                "source_total": len(runs),
            }
        )
    is_about_answers = bool(settings.documents) or settings.turns == 0
    if is_about_answers and plan.has_quoted_answers and settings.outputs is None:
        return plan.with_changes({"outputs": "reference"})
    return plan


def spread(values: Sequence[T], count: int, seed: int) -> list[T]:
    """Return so many values, one drawn from each of as many equal stretches; all if few."""
    if len(values) <= count:
        return list(values)
    chooser = random.Random(f"sources {seed}")
    edges = [number * len(values) // count for number in range(count + 1)]
    return [values[chooser.randrange(begin, end)] for begin, end in pairwise(edges)]


def quotes(passage: str, quotation: str) -> bool:
    """Return whether a passage has the words of a quotation, apart from white space."""
    words = _SPACE.sub(" ", quotation).strip(" \"'“”")
    return bool(words) and words.casefold() in _SPACE.sub(" ", passage).casefold()


def _passages_of(place: Path) -> list[PlanSource]:
    """Return the passages of a file.

    Raises:
        Refusal: It cannot be read as text.
    """
    try:
        content = read_plain(place, _LARGEST_FILE)
        text = _document_text(content)
    except OSError as error:
        raise _unusable(place, system_reason(error)) from error
    except UnicodeDecodeError as error:
        raise _unusable(place, "it is no UTF-8 text; save it as UTF-8") from error
    if "\0" in text:
        raise _unusable(place, "it is no text: it has bytes that are 0")
    if not text.strip():
        raise _unusable(place, "it is empty")
    return [
        PlanSource(name=place.name, number=number, text=passage)
        for number, passage in enumerate(passages(text), 1)
    ]


def _document_text(content: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        UnicodeDecodeError: It is in neither.
    """
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig")


def _unusable(place: Path, reason: str) -> Refusal:
    return Refusal(
        "The document {place} cannot be used: {reason}. Give files of plain text or Markdown.",
        place=str(place),
        reason=reason,
    )


def passages(text: str) -> Iterator[str]:
    """Yield a text in passages: paragraphs put together, and long ones cut after sentences."""
    passage = ""
    for piece in _pieces(text):
        if passage and len(passage) + len(piece) > LONGEST_PASSAGE:
            yield passage
            passage = ""
        passage = f"{passage}\n\n{piece}" if passage else piece
    if len(passage) >= _SHORTEST_PASSAGE or (passage and passage == text.strip()):
        yield passage


def _pieces(text: str) -> Iterator[str]:
    for paragraph in _BREAK.split(text):
        paragraph = paragraph.strip()
        if len(paragraph) <= LONGEST_PASSAGE:
            if paragraph:
                yield paragraph
            continue
        part = ""
        for sentence in _sentences(paragraph):
            if part and len(part) + len(sentence) > LONGEST_PASSAGE:
                yield part.strip()
                part = ""
            part += sentence
        if part.strip():
            yield part.strip()


def _sentences(paragraph: str) -> Iterator[str]:
    """Yield the sentences of a paragraph with the space after them, long ones in pieces."""
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(paragraph)), len(paragraph)]
    for begin, end in pairwise(ends):
        sentence = paragraph[begin:end]
        for start in range(0, len(sentence), LONGEST_PASSAGE):
            yield sentence[start : start + LONGEST_PASSAGE]


def _imported_runs(context: GenerationContext) -> list[TaskRun]:
    """Return the imported traces.

    Raises:
        Refusal: There is none.
    """
    runs = [run for run in context.existing if run.is_imported]
    if not runs:
        raise Refusal(
            "The task '{task}' has no imported traces to rewrite.",
            task=context.task.name,
            next=[NextStep(tool="add_data", reason="import what users sent")],
        )
    return runs


def _without_details(runs: Sequence[TaskRun]) -> list[PlanSource]:
    """Return traces without personal details; one person has one stand-in in all of them."""
    details = PersonalDetails()
    return [PlanSource(name=run.id, text=details.replace(run.input)) for run in runs]
