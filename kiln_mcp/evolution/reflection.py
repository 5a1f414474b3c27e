"""Edits that a capable model proposes after looking at what goes wrong."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kiln_mcp.evals.eval_items import Item
from kiln_mcp.evaluators.references import REFERENCE_KEY, with_others_in_words
from kiln_mcp.evolution.blocks import Block, BlockEdit, Candidate, apply_edits
from kiln_mcp.evolution.operators import CandidateProposal, Operator
from kiln_mcp.evolution.trials import TrialResult, Trials
from kiln_mcp.llm import Engine, JsonSchema, Message, ModelRequest
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.excerpts import excerpt

LOOKED_AT: Final = 6
MOST_EDITS: Final = 3
LONGEST_ANSWER: Final = 1500
LONGEST_SHOWN: Final = 1500


class _EditAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    operation: Literal["add", "replace", "delete"]
    block: str | None
    text: str
    reason: str


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    failure: str
    edits: list[_EditAnswer] = Field(min_length=1, max_length=MOST_EDITS)


def _schema() -> JsonSchema:
    """Return the JSON schema of an answer, written out: not every server follows references."""
    text = {"type": "string"}
    edit = {
        "type": "object",
        "properties": {
            "operation": {"type": "string", "enum": ["add", "replace", "delete"]},
            "block": {"type": ["string", "null"]},
            "text": text,
            "reason": text,
        },
        "required": ["operation", "block", "text", "reason"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "failure": text,
            "edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": MOST_EDITS},
        },
        "required": ["failure", "edits"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class Mirror:
    """What a reflecting model works with.

    Attributes:
        engine: Asks it.
        model: Its name.
        goal: What the task is, in the person's words.
        training: Items whose texts it may see.
        seed: Chooses among them.
    """

    engine: Engine
    model: str
    goal: str
    training: Sequence[Item]
    seed: int


class ModelReflector:
    """Runs the best prompt on training items and lets a model edit it.

    Attributes:
        calls_each: Model calls that one proposal takes: the runs, and the reflection.
    """

    def __init__(self, mirror: Mirror, trials: Trials) -> None:
        self._mirror = mirror
        self._trials = trials
        self._draw = random.Random(mirror.seed)
        self.calls_each = min(LOOKED_AT, len(mirror.training)) * trials.calls_each + 1

    async def propose(self, best: Candidate) -> CandidateProposal | None:
        """Return an edited candidate; None if nothing fails or the edits cannot be used."""
        demonstrations = set(best.demonstrations)
        unseen = [item for item in self._mirror.training if item.id not in demonstrations]
        looked_at = self._draw.sample(unseen, min(LOOKED_AT, len(unseen)))
        results = await self._trials.run_all([(best, item) for item in looked_at])
        # A result without a score shows nothing of what the instruction lacks.
        scores = [(result, result.score) for result in results if result.score is not None]
        failures = [result for result, score in scores if score < 1]
        if not failures:
            return None
        edits = await self._ask(best, failures, [a for a, score in scores if score >= 1][:1])
        try:
            instruction = apply_edits(best.instruction, edits)
        except ValueError:
            return None
        return CandidateProposal(
            Operator.REFLECT,
            replace(best, instruction=instruction),
            "; ".join(edit.reason for edit in edits),
        )

    async def _ask(
        self, best: Candidate, failures: Sequence[TrialResult], passed: Sequence[TrialResult]
    ) -> list[BlockEdit]:
        parts = load_prompt("evolution", "reflect").messages(
            task_description=self._mirror.goal,
            instruction_blocks=_block_list(best.instruction),
            failures=_result_list(failures),
            successes=_result_list(passed) or "None of those looked at.",
            most_edits=MOST_EDITS,
        )
        request = ModelRequest(
            model=self._mirror.model,
            messages=tuple(Message(part.role, part.content) for part in parts),
            schema=_schema(),
            max_tokens=LONGEST_ANSWER,
        )
        try:
            answer = await self._mirror.engine.complete(request, asker="evolution/reflect")
            read = _Answer.model_validate(answer.value)
        except (BadAnswer, ValidationError):
            return []
        return [
            BlockEdit(edit.operation, edit.block, edit.text, edit.reason) for edit in read.edits
        ]


def _block_list(blocks: Sequence[Block]) -> str:
    return "\n\n".join(f"[{block.id}]\n{block.text}" for block in blocks)


def _result_list(results: Sequence[TrialResult]) -> str:
    return "\n\n".join(
        f"Input:\n{_cut(result.item.task_input)}\n"
        f"Output:\n{_cut(result.output) or 'none'}\n"
        f"Right output:\n{_cut(_right_output(result))}\n"
        f"Evaluator: {_cut(result.remark)}"
        for result in results
    )


def _right_output(result: TrialResult) -> str:
    references = with_others_in_words(result.item.reference) or {}
    return str(references.get(REFERENCE_KEY, ""))


def _cut(text: str) -> str:
    return excerpt(text, LONGEST_SHOWN)
