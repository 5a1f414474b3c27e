"""Propose versions of a judge: a model rewrites the steps, or labelled items become examples."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from kiln_mcp.evaluators.model_verdicts import numbered_list
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.judging.judge_versions import JudgeVersion
from kiln_mcp.judging.refinement.labelled_items import ItemVerdict, LabelledItem
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.llm import Engine
from kiln_mcp.reflection import Reflector, TextEdit, cases_text, parts_text
from kiln_mcp.workbench.prompt_templates import load_prompt

MOST_STEPS: Final = 12
MOST_EDITS: Final = 6
MOST_CASES: Final = 8
MOST_AGREEMENTS: Final = 3
MOST_EXAMPLES: Final = 4
LONGEST_ANSWER: Final = 2500
STRICTER: Final = "Where you doubt whether the response passes a step, it fails."
MILDER: Final = "Only a clear fault fails. Where you doubt, the response passes."


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """A labelled item with the verdict of the best version so far."""

    item: LabelledItem
    verdict: ItemVerdict

    @property
    def loss(self) -> float:
        """Return how far the verdict is from the labels."""
        return self.item.loss(self.verdict)


@dataclass(frozen=True, slots=True)
class VersionProposal:
    """A version to be tried, and what it is meant to mend."""

    version: JudgeVersion
    reason: str


class Proposer(Protocol):
    """Proposes versions.

    Attributes:
        calls: Model calls that one proposal takes.
    """

    calls: int

    async def propose(
        self,
        best: JudgeVersion,
        judged_items: Sequence[JudgedItem],
        rejections: Sequence[JudgeVersion],
    ) -> VersionProposal | None:
        """Return a version that was not tried; None if there is no more."""
        ...


@dataclass(frozen=True, slots=True)
class JudgeBrief:
    """What a rewriting model is told of a judge.

    Attributes:
        task_description: The task's instruction.
        spec: What the eval measures; "" if nothing is written.
        scores: Each score with its instruction.
        concerns: What the person says; "" if nothing.
    """

    task_description: str
    spec: str
    scores: str
    concerns: str


class ModelRewriter:
    """Lets a capable model edit the steps, from the cases where judge and person differ.

    Args:
        engine: Asks it.
        model: Its name.
        brief: What it is told of the judge.

    Attributes:
        calls: Model calls that one proposal takes.
    """

    calls: int = 1

    def __init__(self, engine: Engine, model: str, brief: JudgeBrief) -> None:
        asker = "judging/improve judge"
        self._reflector = Reflector(engine, model, asker, MOST_EDITS, LONGEST_ANSWER)
        self._brief = brief
        self._number = 0

    async def propose(
        self,
        best: JudgeVersion,
        judged_items: Sequence[JudgedItem],
        rejections: Sequence[JudgeVersion],
    ) -> VersionProposal | None:
        """Return the model's version; None if its answer cannot be used or was tried."""
        differing = sorted((e for e in judged_items if e.loss), key=lambda e: (-e.loss, e.item.id))
        # After a rejection other cases come first, or the model would answer the same again.
        turn = len(rejections) * MOST_CASES // 2 % max(1, len(differing))
        cases = [*differing[turn:], *differing[:turn]][:MOST_CASES]
        agreeing = [entry for entry in judged_items if not entry.loss][:MOST_AGREEMENTS]
        brief = self._brief
        values = {
            "task_description": brief.task_description,
            "spec": brief.spec or "Nothing more than the scores is written down.",
            "scores": brief.scores,
            "steps": parts_text(_parts_of(best.steps)),
            "concerns": brief.concerns or "Nothing was said.",
            "disagreements": _case_list(cases),
            "agreements": _case_list(agreeing) or "None.",
            "rejected_steps": "\n\n".join(numbered_list(v.steps) for v in rejections[-3:])
            or "None.",
        }
        template = load_prompt("judging", "improve_judge")
        reflection = await self._reflector.reflect(template, values, self._number)
        self._number += 1
        if not reflection.edits:
            return None
        steps = edited_steps(best.steps, reflection.edits)
        if not steps or len(steps) > MOST_STEPS:
            return None
        return VersionProposal(JudgeVersion(steps, best.examples), reflection.failure)


def edited_steps(steps: Sequence[str], edits: Sequence[TextEdit]) -> tuple[str, ...]:
    """Return the steps of a judge after edits; () if an edit names no step.

    Several additions after one step stand in the order of the edits.
    """
    parts = dict(_parts_of(steps))
    additions: dict[str | None, list[str]] = {}
    for edit in edits:
        if edit.part not in parts and not (edit.part is None and edit.operation == "add"):
            return ()
        if edit.operation == "add":
            additions.setdefault(edit.part, []).append(edit.text)
        elif edit.part is not None:
            parts[edit.part] = edit.text if edit.operation == "replace" else ""
    texts = [*additions.get(None, ())]
    for name, text in parts.items():
        texts += [text, *additions.get(name, ())]
    return tuple(text.strip() for text in texts if text.strip())


def _parts_of(steps: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"s{number}", step) for number, step in enumerate(steps, 1)]


@dataclass(slots=True)
class StrictnessStep:
    """Adds a step for cases of doubt, where the judge errs mostly to one side. It asks no model.

    Attributes:
        calls: Model calls that one proposal takes.
    """

    calls: int = field(default=0, init=False)

    async def propose(
        self,
        best: JudgeVersion,
        judged_items: Sequence[JudgedItem],
        rejections: Sequence[JudgeVersion],
    ) -> VersionProposal | None:
        """Return the steps with one for doubt; None if it was tried."""
        balance = sum(map(_balance, judged_items))
        sentence = STRICTER if balance > 0 else MILDER
        steps = (*(step for step in best.steps if step not in {STRICTER, MILDER}), sentence)
        version = JudgeVersion(steps, best.examples)
        if version == best or version in rejections:
            return None
        side = "lenient" if balance > 0 else "strict"
        return VersionProposal(version, f"The judge is too {side}.")


@dataclass(slots=True)
class ExampleChooser:
    """Shows the judge labelled items as examples, with those that it misjudged first.

    Attributes:
        calls: Model calls that one proposal takes.
    """

    draw: random.Random
    calls: int = field(default=0, init=False)

    async def propose(
        self,
        best: JudgeVersion,
        judged_items: Sequence[JudgedItem],
        rejections: Sequence[JudgeVersion],
    ) -> VersionProposal | None:
        """Return the steps with other examples; None if there are too few items."""
        count = min(MOST_EXAMPLES, len(judged_items) // 4)
        if not count:
            return None
        differing = [entry.item for entry in judged_items if entry.loss]
        agreeing = [entry.item for entry in judged_items if not entry.loss]
        self.draw.shuffle(differing)
        self.draw.shuffle(agreeing)
        half = (count + 1) // 2
        selection = [*differing[:half], *agreeing, *differing[half:]][:count]
        version = JudgeVersion(best.steps, tuple(item.example for item in selection))
        if version in rejections:
            return None
        return VersionProposal(version, f"It is shown {count} labelled responses as examples.")


def _balance(entry: JudgedItem) -> float:
    """Return how far a verdict is above the labels."""
    scores, kinds = entry.verdict.scores, entry.item.kinds
    return sum(
        decision_of(scores[key], kinds[key]) - label
        for key, label in entry.item.labels.items()
        if key in scores
    )


def _case_list(entries: Sequence[JudgedItem]) -> str:
    return cases_text(
        [
            {
                "Input": entry.item.run.input,
                "Response": entry.item.run.output.output,
                "The person says": f"{_words(entry.item.label_words)}. {entry.item.reason}",
                "The judge says": f"{_words(_verdict_words(entry))}. {entry.verdict.reason}",
            }
            for entry in entries
        ]
    )


def _verdict_words(entry: JudgedItem) -> Mapping[str, str]:
    kinds = entry.item.kinds
    return {
        key: label_text(decision_of(value, kinds[key]), kinds[key])
        for key, value in entry.verdict.scores.items()
        if key in kinds
    }


def _words(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {word}" for key, word in values.items()) or "nothing usable"
