"""What a person does to the passages and traces of a plan before a model sees them."""

import re
from collections.abc import Sequence
from typing import Final

from kiln_mcp.synthesis.data_plan import DataPlan, PlanSource
from kiln_mcp.synthesis.plan_settings import BEGINNING, PlanSettings
from storage.errors import Refusal

_STAND_IN: Final = re.compile(r"\[name (\d+)\]")


def with_source_edits(plan: DataPlan, settings: PlanSettings) -> DataPlan:
    """Return a plan whose sources are edited; it begins again.

    Numbers are those that the plan shows. Texts are replaced first, then words are hidden, and
    sources are left out last.

    Raises:
        Refusal: There is no such source, no source is left, or a hidden word stands nowhere.
    """
    if not settings.has_source_edits:
        return plan
    numbers = {*settings.drop_sources, *settings.source_texts}
    if unknown := sorted(numbers - {*range(1, len(plan.sources) + 1)}):
        raise Refusal(
            "The plan '{id}' has no sources {numbers}. It has {count}.",
            id=plan.id,
            numbers=unknown,
            count=len(plan.sources) or "none: give `documents` or `traces` first",
        )
    sources = [
        source.model_copy(update={"text": settings.source_texts.get(number, source.text)})
        for number, source in enumerate(plan.sources, 1)
    ]
    sources = _with_hidden(plan, sources, settings.hide)
    dropped_numbers = {*settings.drop_sources}
    kept_sources = [
        source for number, source in enumerate(sources, 1) if number not in dropped_numbers
    ]
    if not kept_sources:
        raise Refusal(
            "No source of the plan '{id}' is left. Keep at least one of {count}, or delete the "
            "plan with delete=true.",
            id=plan.id,
            count=len(sources),
        )
    return plan.with_changes({**BEGINNING, "sources": kept_sources})


def _with_hidden(
    plan: DataPlan, sources: Sequence[PlanSource], words: Sequence[str]
) -> list[PlanSource]:
    """Return sources with a stand-in for each of some words.

    Raises:
        Refusal: A word stands in none of them.
    """
    texts = [source.text for source in sources]
    if unknown := [word for word in words if not any(map(_word_pattern(word).search, texts))]:
        raise Refusal(
            "The sources of the plan '{id}' do not say {words}. Write them as the plan shows them.",
            id=plan.id,
            words=unknown,
        )
    last = max((int(number) for text in texts for number in _STAND_IN.findall(text)), default=0)
    # The longest first: `Ann Lee` gets one stand-in before `Ann` gets its own.
    for number, word in enumerate(sorted(set(words), key=lambda own: (-len(own), own)), last + 1):
        texts = [_word_pattern(word).sub(f"[name {number}]", text) for text in texts]
    return [
        source.model_copy(update={"text": text})
        for source, text in zip(sources, texts, strict=True)
    ]


def _word_pattern(word: str) -> re.Pattern[str]:
    """Return the pattern of a word in any case, not within another one."""
    begin = r"(?<!\w)" if _is_spaced(word[0]) else ""
    end = r"(?!\w)" if _is_spaced(word[-1]) else ""
    return re.compile(f"{begin}{re.escape(word)}{end}", re.IGNORECASE)


def _is_spaced(character: str) -> bool:
    """Return whether words of such characters stand apart: not those of Chinese and Japanese."""
    return character.isalnum() and character < "\u3000"
