"""Edits that a capable model proposes after looking at what goes wrong."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evolution.engine import Answer, BlockEdit, Case, ProposalRequest
from kiln_mcp.evolution.engine.candidates import INSTRUCTION
from kiln_mcp.evolution.engine.operators import Operator
from kiln_mcp.evolution.engine.values import Lesson
from kiln_mcp.evolution.prompt_texts import THINKING
from kiln_mcp.llm import Engine
from kiln_mcp.programs.toolbox import SKILL, TOOL
from kiln_mcp.reflection import Reflector, cases_text, parts_text
from kiln_mcp.workbench.prompt_templates import load_prompt
from storage.text.excerpts import excerpt

MOST_EDITS: Final = 3
LONGEST_ANSWER: Final = 1500
LONGEST_LESSON: Final = 1500


class ModelReflector:
    """Lets a model edit a prompt.

    Args:
        engine: Asks it.
        model: Its name.
        goal: What the task is, in the person's words.
    """

    def __init__(self, engine: Engine, model: str, goal: str) -> None:
        asker = "evolution/reflect"
        self._reflector = Reflector(engine, model, asker, MOST_EDITS, LONGEST_ANSWER)
        self._goal = goal

    async def propose(self, request: ProposalRequest) -> Answer:
        """Return edits; none if the model gave nothing usable."""
        blocks = request.candidate.blocks_of(request.component)
        values = {
            "task_description": self._description(request),
            "instruction_blocks": parts_text([(block.id, block.text) for block in blocks]),
            "failures": _case_list(request.failures),
            "successes": _case_list(request.successes) or "None of those looked at.",
            "earlier_edits": _lesson_list(request.lessons) or "None.",
        }
        is_paraphrase = request.operator == Operator.PARAPHRASE.value
        template = load_prompt("evolution", "paraphrase" if is_paraphrase else "reflect")
        reflection = await self._reflector.reflect(template, values, request.number)
        edits = [
            BlockEdit(edit.operation, edit.part, edit.text, edit.reason, request.component)
            for edit in reflection.edits
        ]
        reason = "; ".join(edit.reason for edit in edits)
        return Answer(edits, reason=reason, paid_calls=reflection.paid_calls)

    def _description(self, request: ProposalRequest) -> str:
        """Return what the task is; for a text beside the instruction, what it is, and both."""
        place = _place_of(request.component)
        if not place:
            return self._goal
        instruction = request.candidate.text_of(INSTRUCTION)
        return (
            f"{self._goal}\n\nBelow stands {place}. The instruction itself stays as it is:\n"
            f"{instruction}"
        )


def _place_of(component: str) -> str:
    """Return what a component is to the model that is tested; "" for its instruction."""
    if component == THINKING:
        return "what the model is told to think about before it answers"
    if component.startswith(TOOL):
        name = component.removeprefix(TOOL)
        return (
            f"the description of the tool {name!r}, by which the model sees when and how to use it"
        )
    if component.startswith(SKILL):
        return (
            f"the skill {component.removeprefix(SKILL)!r}, which the model reads when it may help"
        )
    return ""


def _case_list(cases: Sequence[Case]) -> str:
    texts = [
        {
            "Input": case.item.text,
            "Output": case.evaluation.output or "none",
            "Right output": case.item.reference,
            "Evaluator": case.evaluation.remarks,
        }
        for case in cases
    ]
    # An item without a right output must not look like one whose right output is empty.
    return cases_text([{name: text for name, text in own.items() if text} for own in texts])


def _lesson_list(lessons: Sequence[Lesson]) -> str:
    return "\n\n".join(
        f"{'Accepted' if lesson.accepted else 'Rejected'}: "
        f"{excerpt(lesson.text, LONGEST_LESSON)}\n{lesson.outcome}"
        for lesson in lessons
    )
