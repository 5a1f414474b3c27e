"""The spec that a judge of an eval is compiled from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from kiln_mcp.evals.arguments import LONGEST_SCORE_NAME, NewEval, ScoreDefinition
from kiln_mcp.evaluators.spec_judges import judge_steps, score_instruction
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.spec_content import SpecContent
from storage import Eval, ProjectStore, Spec, Task


@dataclass(frozen=True, slots=True)
class MeasuredSpec:
    """A spec with its clauses and examples.

    Attributes:
        record: Its record.
        content: Its clauses and examples.
        is_named: Whether the call names it, so that a new eval measures it.
    """

    record: Spec
    content: SpecContent
    is_named: bool

    def compiles(self, kind: str, own: Sequence[str] | None) -> bool:
        """Return whether a new evaluator is compiled from it: a judge without other steps is."""
        return kind == "llm_judge" and (self.is_named or not own)

    def steps(self, own: Sequence[str] | None) -> list[JsonValue]:
        """Return the steps of a judge: those of the spec, then the caller's own."""
        return [*judge_steps(self.content), *(own or ())]

    def with_question(self, name: str, definition: NewEval) -> NewEval:
        """Return a new eval whose score says what passes, if the caller defines no score."""
        if definition.scores:
            return definition
        instruction = score_instruction(self.content)
        score = ScoreDefinition(name=name[:LONGEST_SCORE_NAME].strip(), instruction=instruction)
        return replace(definition, scores=(score,))


async def measured_spec(
    store: ProjectStore, task: Task, reference: str | None, eval_record: Eval | None
) -> MeasuredSpec | None:
    """Return the spec that a call names, or that an eval measures already; None if there is none.

    Raises:
        RecordNotFound: No spec has this name.
    """
    if reference is not None:
        record = await store.find(Spec, reference, parent=task)
        return MeasuredSpec(record, await clauses_of(store, record), is_named=True)
    if eval_record is None:
        return None
    for record in await store.children(task, Spec):
        if record.eval_id == eval_record.id:
            return MeasuredSpec(record, await clauses_of(store, record), is_named=False)
    return None
