"""Questions where the readings of a panel part: what was measured on the task's real outputs.

A panel is asked once, after approval. Its verdicts stay beside the task, so that each answer of
the person leads to the next best question without another call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kiln_mcp.spec_texts.session_events import AskedQuestion, Draft, SpecSession
from kiln_mcp.spec_texts.spec_content import ExampleVerdict, Finding, FindingKind
from kiln_mcp.specs.clause_panel import ClausePanel
from kiln_mcp.specs.clause_questions import clause_question
from kiln_mcp.specs.model_calls import SpecWriter
from kiln_mcp.specs.panel_storage import read_panel
from kiln_mcp.statistics.question_value import QuestionValue, is_worth_asking
from storage import ProjectStore, Task

_VERDICTS = (str(ExampleVerdict.PASS), str(ExampleVerdict.FAIL))


@dataclass(frozen=True, slots=True)
class MeasuredDraft:
    """A draft with the panel's verdicts on its clauses."""

    draft: Draft
    panel: ClausePanel


async def measured_drafts(
    store: ProjectStore, task: Task, drafts: Sequence[Draft]
) -> list[MeasuredDraft]:
    """Return the drafts whose clauses a panel has judged."""
    panels: list[MeasuredDraft] = []
    for draft in drafts:
        panel = await read_panel(store, task, draft.content.clauses)
        if panel is not None:
            panels.append(MeasuredDraft(draft, panel))
    return panels


async def next_questions(
    session: SpecSession, panels: Sequence[MeasuredDraft], writer: SpecWriter | None
) -> list[AskedQuestion]:
    """Return the best question about each draft, the one that decides most first.

    None is returned about a draft without a question whose answer is expected to change more than
    2 % of verdicts, or with one that waits for its answer.

    Raises:
        ModelError: The model that words the questions cannot be asked.
    """
    questions: list[AskedQuestion] = []
    for item in panels:
        if any(
            entry.draft == item.draft.id and entry.question.value is not None
            for entry in session.open_questions
        ):
            continue
        value = _best(session, item)
        if value is not None:
            questions.append(await _asked_question(item, value, writer))
    return sorted(questions, key=lambda entry: -(entry.question.value or 0.0))


def ambiguity_findings(item: MeasuredDraft) -> list[Finding]:
    """Return the clauses on which readings differ beyond the noise of the judges, worst first."""
    clauses = {clause.id: clause for clause in item.draft.content.clauses}
    return [
        Finding(
            f"measured:{entry.clause}",
            FindingKind.UNDERSPECIFIED,
            clauses[entry.clause].text,
            entry.reason,
            f"a panel of {', '.join(item.panel.models)}",
            entry.clause,
        )
        for entry in item.panel.ambiguities
        if entry.clause in item.panel.ambiguous_clauses and entry.clause in clauses
    ]


def _best(session: SpecSession, item: MeasuredDraft) -> QuestionValue | None:
    panel = item.panel
    if not panel.ambiguous_clauses:
        return None
    beliefs = panel.beliefs()
    for example in item.draft.content.examples:
        is_judged = example.origin.source in beliefs.table.items
        if is_judged and example.clause in beliefs.table.clauses:
            beliefs = beliefs.with_answer(
                example.clause,
                example.origin.source,
                passes=example.verdict is ExampleVerdict.PASS,
            )
    value = beliefs.best_question(panel.ambiguous_clauses)
    count = sum(entry.question.value is not None for entry in session.questions.values())
    return value if is_worth_asking(value, count) else None


async def _asked_question(
    item: MeasuredDraft, value: QuestionValue, writer: SpecWriter | None
) -> AskedQuestion:
    question = await clause_question(writer, item.panel, value)
    clause = next(c for c in item.draft.content.clauses if c.id == value.clause)
    replaces = all(option.clause.startswith(clause.text) for option in question.options)
    return AskedQuestion(
        draft=item.draft.id,
        question=replace(question, id=""),
        effect="replace" if replaces else "add",
        verdicts=_VERDICTS,
        run=value.item,
    )
