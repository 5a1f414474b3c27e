"""Read the drafts of this folder, and score findings against their planted faults."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiln_mcp.spec_texts.spec_checks import CheckContext
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Finding,
    FindingKind,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind

DRAFTS: Final = Path(__file__).with_name("drafts")
FRESH: Final = Path(__file__).with_name("fresh")
"""Clean drafts that were written after the checks."""
_AUTHOR: Final = Origin("file")


@dataclass(frozen=True, slots=True)
class Fault:
    """A planted fault: its kind, its clause ("" if it is in the examples), and where it shows."""

    kind: FindingKind
    clause: str
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class SpecDraft:
    """A draft with one planted fault, or a clean one."""

    id: str
    content: SpecContent
    context: CheckContext
    level: str = ""
    fault: Fault | None = None

    @property
    def language(self) -> str:
        return self.id[:2]

    @property
    def half(self) -> str:
        """The half that it belongs to by its id: `open` while checks are written, or `held out`."""
        digest = hashlib.sha256(self.id.encode()).digest()
        return "held out" if digest[0] % 2 else "open"


def read_drafts(folder: Path = DRAFTS) -> tuple[SpecDraft, ...]:
    """Return all drafts, in the order of the files."""
    return tuple(
        _draft(item)
        for path in sorted(folder.glob("*.toml"))
        for item in tomllib.loads(path.read_text(encoding="utf-8"))["draft"]
    )


def _draft(item: Mapping[str, Any]) -> SpecDraft:
    fault = item.get("fault")
    return SpecDraft(
        id=item["id"],
        content=SpecContent(
            kind=SpecKind(item["kind"]),
            name=item.get("name", item["id"]),
            clauses=tuple(_clauses(item)),
            examples=tuple(_examples(item)),
        ),
        context=CheckContext(
            instruction=item["instruction"],
            output_schema=json.loads(item["output_schema"]) if "output_schema" in item else None,
            documents=item.get("documents", {}),
        ),
        level=item.get("level", ""),
        fault=Fault(FindingKind(fault["kind"]), fault["clause"], fault["words"]) if fault else None,
    )


def _clauses(item: Mapping[str, Any]) -> Iterator[Clause]:
    texts = [(Polarity.MUST, text) for text in item.get("must", [])]
    texts += [(Polarity.MUST_NOT, text) for text in item.get("must_not", [])]
    for number, (polarity, text) in enumerate(texts, start=1):
        yield Clause(f"c{number}", text, polarity, _AUTHOR)


def _examples(item: Mapping[str, Any]) -> Iterator[SpecExample]:
    pairs = [(ExampleVerdict.PASS, example) for example in item.get("passes", [])]
    pairs += [(ExampleVerdict.FAIL, example) for example in item.get("fails", [])]
    for number, (verdict, example) in enumerate(pairs, start=1):
        yield SpecExample(
            f"e{number}", example["output"], verdict, _AUTHOR, input=example.get("input", "")
        )


def is_hit(finding: Finding, fault: Fault) -> bool:
    """Return whether a finding has the kind of a fault, and quotes words that show it."""
    return finding.kind is fault.kind and any(_meet(finding.words, words) for words in fault.words)


def _meet(first: str, second: str) -> bool:
    """Return whether one text holds the other, or most of the shorter one, as pairs of letters."""
    one, other = (" ".join(text.casefold().split()).strip(' .。"') for text in (first, second))
    if not one or not other:
        return False
    if one in other or other in one:
        return True
    pairs = [{text[index : index + 2] for index in range(len(text) - 1)} for text in (one, other)]
    return len(pairs[0] & pairs[1]) >= 0.6 * min(len(pair) for pair in pairs)


@dataclass(frozen=True, slots=True)
class Score:
    """What findings on drafts are worth.

    Attributes:
        planted: Drafts with a fault.
        hits: Those whose fault was found, with the right kind and words.
        clean: Drafts without a fault.
        alarms: Those with any finding.
        others: Findings on drafts with a fault that are not the planted one.
    """

    planted: int
    hits: int
    clean: int
    alarms: int
    others: int

    @property
    def text(self) -> str:
        return (
            f"{self.hits} of {self.planted} found, {self.alarms} of {self.clean} clean with an "
            f"alarm, {self.others} other findings"
        )


def score(findings: Mapping[str, Sequence[Finding]], drafts: Sequence[SpecDraft]) -> Score:
    """Score the findings of each draft, by its id."""
    planted = [draft for draft in drafts if draft.fault]
    clean = [draft for draft in drafts if not draft.fault]
    hits = {
        draft.id: [item for item in findings[draft.id] if draft.fault and is_hit(item, draft.fault)]
        for draft in planted
    }
    return Score(
        planted=len(planted),
        hits=sum(bool(items) for items in hits.values()),
        clean=len(clean),
        alarms=sum(bool(findings[draft.id]) for draft in clean),
        others=sum(len(findings[draft.id]) - len(hits[draft.id]) for draft in planted),
    )
