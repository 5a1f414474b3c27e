"""Questions where the readings of a panel part: what was measured on the task's real outputs.

A panel is asked once, after approval. Its verdicts stay beside the task, so that each answer of
the person leads to the next best question without another call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kiln_mcp.spec_texts.session_events import AskedQuestion, Draft, SpecSession
from kiln_mcp.spec_texts.spec_content import Clause, ExampleVerdict, Finding, FindingKind
from kiln_mcp.specs.clause_panel import ClausePanel
from kiln_mcp.specs.clause_questions import clause_question
from kiln_mcp.specs.model_calls import SpecWriter
from kiln_mcp.specs.panel_storage import read_panel
from kiln_mcp.statistics.clause_ambiguity import AmbiguityDecision
from kiln_mcp.statistics.question_value import QuestionValue, is_worth_asking
from storage import ProjectStore, Task

_VERDICTS = (str(ExampleVerdict.PASS), str(ExampleVerdict.FAIL))


@dataclass(frozen=True, slots=True)
class MeasuredDraft:
    """A draft with the verdicts of a panel on the clauses of all drafts."""

    draft: Draft
    panel: ClausePanel

    @property
    def clauses(self) -> Mapping[str, Clause]:
        """Its own clauses, by their ids in the panel."""
        return {panel_clause(self.draft, own).id: own for own in self.draft.content.clauses}

    @property
    def ambiguous_clauses(self) -> list[str]:
        """The ids in the panel of its clauses on which readings differ beyond noise."""
        own = self.clauses
        return [clause for clause in self.panel.ambiguous_clauses if clause in own]

    @property
    def statement(self) -> str:
        """What the panel says if it calls no clause ambiguous."""
        own = self.clauses
        unknown = [
            entry
            for entry in self.panel.ambiguities
            if entry.clause in own and entry.decision is AmbiguityDecision.CANNOT_TELL
        ]
        if unknown:
            texts = "; ".join(f"{own[entry.clause].id}: {entry.reason}" for entry in unknown)
            return f"{self.draft.id}: this panel cannot tell whether a clause is ambiguous. {texts}"
        return f"{self.draft.id}: no clause splits the readings beyond the noise of the judges."


def panel_clause(draft: Draft, clause: Clause) -> Clause:
    """Return a clause as a panel on several drafts knows it: with the draft before its id."""
    return replace(clause, id=f"{draft.id}.{clause.id}")


async def measured_drafts(
    store: ProjectStore, task: Task, drafts: Sequence[Draft]
) -> list[MeasuredDraft]:
    """Return the drafts with a clause that a panel has judged."""
    clauses = [panel_clause(draft, clause) for draft in drafts for clause in draft.content.clauses]
    panel = await read_panel(store, task, clauses)
    if panel is None:
        return []
    clause_ids = {cell.clause for cell in panel.verdicts}
    items = [MeasuredDraft(draft, panel) for draft in drafts]
    return [item for item in items if not clause_ids.isdisjoint(item.clauses)]


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
    clauses, ambiguous = item.clauses, item.ambiguous_clauses
    return [
        Finding(
            f"measured:{clauses[entry.clause].id}",
            FindingKind.UNDERSPECIFIED,
            clauses[entry.clause].text,
            entry.reason,
            f"a panel of {', '.join(item.panel.models)}",
            clauses[entry.clause].id,
        )
        for entry in item.panel.ambiguities
        if entry.clause in ambiguous
    ]


def _best(session: SpecSession, item: MeasuredDraft) -> QuestionValue | None:
    ambiguous = item.ambiguous_clauses
    if not ambiguous:
        return None
    beliefs = item.panel.beliefs()
    for example in item.draft.content.examples:
        clause = f"{item.draft.id}.{example.clause}"
        is_judged = example.origin.source in beliefs.table.items
        if is_judged and clause in beliefs.table.clauses:
            beliefs = beliefs.with_answer(
                clause,
                example.origin.source,
                passes=example.verdict is ExampleVerdict.PASS,
            )
    value = beliefs.best_question(ambiguous)
    count = sum(entry.question.value is not None for entry in session.questions.values())
    return value if is_worth_asking(value, count) else None


async def _asked_question(
    item: MeasuredDraft, value: QuestionValue, writer: SpecWriter | None
) -> AskedQuestion:
    question = await clause_question(writer, item.panel, value)
    clause = item.clauses[value.clause]
    # A template repeats the clause: its output is an example of it, and the clause stays.
    options = tuple(
        replace(option, clause="") if option.clause.startswith(clause.text) else option
        for option in question.options
    )
    return AskedQuestion(
        draft=item.draft.id,
        question=replace(question, id="", clause=clause.id, options=options),
        verdicts=_VERDICTS,
        run=value.item,
    )
