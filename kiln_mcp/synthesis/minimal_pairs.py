"""Minimal pairs: passing outputs, edited until exactly one clause breaks.

Every output gets several verdicts on every clause. One that meets all clauses is edited and judged
again. An edit is kept if it broke the intended clause and no other with a probability of 0.95. An
output of which no edit is kept is edited again, up to three times in all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue

from kiln_mcp.datasets import lineage
from kiln_mcp.llm import Engine, Message, ModelRequest
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.synthesis.clause_checks import (
    CheckedOutput,
    ClauseChecker,
    Tally,
    clause_lines,
    verdict_models,
)
from kiln_mcp.synthesis.coverage_plan import Aim
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generated_items import GeneratedItem
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.inputs import text_value, value_schema
from kiln_mcp.synthesis.last_answers import question_of, with_other_answer
from kiln_mcp.synthesis.pair_acceptance import LEAST, EditedTally, OutcomeRule
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage import TaskRun
from storage.records.run import PAIR_ADAPTER

EDITED_AIMS: Final = (Aim.FAIL, Aim.BORDERLINE)
EDIT_ROUNDS: Final = 3
"""How often an output is edited at most."""
NOT_EXACT: Final = "no edit broke this clause alone"
NOT_SPLIT: Final = "the judges do not disagree on any edit"
UNCERTAIN: Final = "the judges do not say clearly which clauses it meets"
LIKELY: Final = 0.5
"""The probability that an output meets all clauses, from which on it is edited."""
_LONGEST: Final = 4000


@dataclass(frozen=True, slots=True)
class _Edit:
    """An edited output of an item, with the votes on it."""

    item: GeneratedItem
    text: str
    aim: Aim
    votes: EditedTally

    @property
    def difficulty(self) -> float:
        """The share of verdicts against the aim; of a borderline output those of the minority."""
        share = self.votes.tally.share(self.votes.clause)
        return min(share, 1 - share) if self.aim is Aim.BORDERLINE else 1 - share


@dataclass(frozen=True, slots=True)
class PairMaker:
    """Turns the outputs of a plan's items into passing, failing and borderline ones.

    Attributes:
        engine: The engine.
        context: What the project has.
        plan: The plan, with the clauses and the models that edit and check.
    """

    engine: Engine
    context: GenerationContext
    plan: DataPlan

    async def make(self, items: Sequence[GeneratedItem]) -> list[GeneratedItem]:
        """Return the items with the outcome that was verified, edited where they were to fail."""
        answered_items = [item for item in items if item.run is not None]
        tallies = await self._check([_output_of(item) for item in answered_items])
        first_rule = OutcomeRule.of(self._clauses, tallies, [])
        to_edit = [
            item
            for item, tally in zip(answered_items, tallies, strict=True)
            if _wants_edit(item) and first_rule.passes(tally) >= LIKELY
        ]
        rule, kept_edits = await self._kept_edits(to_edit, tallies)
        results: dict[int, GeneratedItem] = {}
        for item, tally in zip(answered_items, tallies, strict=True):
            edit = kept_edits.get(id(item))
            results[id(item)] = (
                _as_it_was(item, tally, rule) if edit is None else self._item_of(edit, rule)
            )
        return [results.get(id(item), item) for item in items]

    async def _kept_edits(
        self, items: Sequence[GeneratedItem], tallies: Sequence[Tally]
    ) -> tuple[OutcomeRule, dict[int, _Edit]]:
        """Edit items until an edit of each is kept, or three of it were not.

        Args:
            items: The items to edit.
            tallies: The votes on all outputs as they were.

        Returns:
            The rule that all votes give, and the kept edit of an item by its `id()`.
        """
        edits: list[_Edit] = []
        kept_edits: dict[int, _Edit] = {}
        rule = OutcomeRule.of(self._clauses, tallies, [])
        for turn in range(EDIT_ROUNDS):
            missing = [item for item in items if id(item) not in kept_edits]
            if not missing:
                break
            edits += await self._edits(missing, turn)
            rule = OutcomeRule.of(self._clauses, tallies, [edit.votes for edit in edits])
            # More votes tell more of the judges: each edit is looked at again, the first one first.
            kept_edits = {id(e.item): e for e in reversed(edits) if _is_kept(e, rule)}
        return rule, kept_edits

    @property
    def _clauses(self) -> list[str]:
        return [clause.id for clause in self.plan.clauses]

    async def _check(self, outputs: Sequence[CheckedOutput]) -> list[Tally]:
        plan, instruction = self.plan, self.context.task.instruction
        checker = ClauseChecker(
            self.engine, plan.checking_models, plan.clauses, instruction, plan.seed
        )
        return await checker.check(outputs)

    async def _edits(self, items: Sequence[GeneratedItem], turn: int) -> list[_Edit]:
        texts: dict[int, str] = {}

        async def edit(place: int) -> None:
            try:
                texts[place] = await self._edit(items[place], turn)
            except ModelError:
                texts[place] = ""

        await for_each(range(len(items)), edit, self.engine.width([self.plan.writer]))
        changed = [
            (items[place], text)
            for place, text in sorted(texts.items())
            if text and text != _output_of(items[place]).output
        ]
        tallies = await self._check(
            [replace(_output_of(item), output=text) for item, text in changed]
        )
        return [
            _Edit(item, text, _aim(item), EditedTally(_clause(item), tally))
            for (item, text), tally in zip(changed, tallies, strict=True)
        ]

    async def _edit(self, item: GeneratedItem, turn: int) -> str:
        output = _output_of(item)
        parts = load_prompt("synthesis", "edited_output").messages(
            task_instruction=self.context.task.instruction,
            clauses=clause_lines(self.plan.clauses),
            aim=str(_aim(item)),
            clause=self.plan.clause_texts[_clause(item)],
            task_input=output.task_input,
            task_output=output.output,
        )
        request = ModelRequest(
            model=self.plan.writer,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=value_schema("output", self.context.resolved_config.schema),
            temperature=0.7,
            max_tokens=_LONGEST,
            seed=self.plan.seed,
            sample=item.planned_input.task_input.sample * EDIT_ROUNDS + turn,
        )
        answer = await self.engine.complete(request, asker="synthesis/edited_output")
        return text_value(answer, "output")

    def _item_of(self, edit: _Edit, rule: OutcomeRule) -> GeneratedItem:
        """Return an item whose output is the edited one; what it was edited from is kept."""
        run = _run_of(edit.item)
        writer = stored_model(self.plan.writer)
        properties: dict[str, str | int | float] = {
            "model_name": writer.name,
            "model_provider": writer.provider,
            "adapter_name": PAIR_ADAPTER,
            lineage.OUTCOME: str(edit.aim),
            lineage.BROKEN_CLAUSE: edit.votes.clause,
            **({lineage.SPEC: self.plan.spec} if self.plan.spec else {}),
            lineage.PASSING_OUTPUT: run.output.output,
            lineage.VERIFICATION: json.dumps(self._verification(edit, rule)),
            lineage.DIFFICULTY: round(edit.difficulty, 4),
            lineage.VERDICTS: edit.votes.tally.votes.get(edit.votes.clause, 0),
            lineage.JUDGES: len(set(self.plan.checking_models)),
        }
        tags = (*(tag for tag in run.tags if tag != lineage.REFERENCE_TAG), lineage.PAIR_TAG)
        edited_run = with_other_answer(run, edit.text, properties).replace(tags=tags)
        return replace(edit.item, run=edited_run, reason="", outcome=edit.aim)

    def _verification(self, edit: _Edit, rule: OutcomeRule) -> Mapping[str, JsonValue]:
        tally = edit.votes.tally
        return {
            "broken_votes": {clause: tally.failures.get(clause, 0) for clause in self._clauses},
            "votes": max(tally.votes.values(), default=0),
            "by": list[JsonValue](verdict_models(self.plan.checking_models)),
            "exactness": round(rule.exactness(edit.votes), 4),
            "false_alarms": round(rule.model.false_alarms, 3),
            "misses": round(rule.model.misses, 3),
        }


def _as_it_was(item: GeneratedItem, tally: Tally, rule: OutcomeRule) -> GeneratedItem:
    """Return an item whose output stays, with the outcome that the votes verify."""
    run, clause = _run_of(item), rule.broken_clause(tally)
    if clause:
        return replace(item, run=_with_outcome(run, Aim.FAIL, clause), outcome=Aim.FAIL)
    if rule.passes(tally) < LEAST:
        return replace(item, reason=UNCERTAIN)
    reason = {Aim.FAIL: NOT_EXACT, Aim.BORDERLINE: NOT_SPLIT}.get(_aim(item), "")
    return replace(item, run=_with_outcome(run, Aim.PASS, ""), outcome=Aim.PASS, reason=reason)


def _with_outcome(run: TaskRun, outcome: Aim, clause: str) -> TaskRun:
    """Return a run that says what was verified of its output."""
    source = run.output.source
    if source is None:
        return run
    own = {lineage.OUTCOME: str(outcome)} | ({lineage.BROKEN_CLAUSE: clause} if clause else {})
    return run.replace(
        output=run.output.replace(source=source.replace(properties={**source.properties, **own}))
    )


def _is_kept(edit: _Edit, rule: OutcomeRule) -> bool:
    if edit.aim is Aim.BORDERLINE:
        return rule.is_borderline(edit.votes)
    return rule.exactness(edit.votes) >= LEAST


def _wants_edit(item: GeneratedItem) -> bool:
    is_wrong = lineage.PERSON_TAG in _run_of(item).tags
    return _aim(item) in EDITED_AIMS and bool(_clause(item)) and not is_wrong


def _aim(item: GeneratedItem) -> Aim:
    return item.planned_input.slot.aim if item.planned_input.slot else Aim.ANY


def _clause(item: GeneratedItem) -> str:
    return item.planned_input.slot.clause if item.planned_input.slot else ""


def _run_of(item: GeneratedItem) -> TaskRun:
    assert item.run is not None, "only items with an answer are checked"
    return item.run


def _output_of(item: GeneratedItem) -> CheckedOutput:
    run = _run_of(item)
    return CheckedOutput(question_of(run), run.output.output)
