"""Find what is weak about the drafts of a session: by rules, and by a model if one is at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from kiln_mcp.llm.errors import ModelError
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.spec_texts.findings import RULES
from kiln_mcp.spec_texts.session_events import Draft
from kiln_mcp.spec_texts.spec_checks import CheckContext, check_content
from kiln_mcp.spec_texts.spec_content import Finding, SpecContent
from kiln_mcp.specs.examination import examine, search_scope, task_context
from kiln_mcp.specs.model_calls import SpecWriter
from storage import ProjectStore, Spec, Task


@dataclass(slots=True)
class DraftFindings:
    """What is weak about drafts.

    Attributes:
        by_draft: The findings, by the ids of the drafts.
        search_scope: What was looked for, and by whom.
        notes: What kept the model from looking, as sentences.
    """

    by_draft: dict[str, tuple[Finding, ...]] = field(default_factory=dict[str, tuple[Finding, ...]])
    search_scope: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where drafts stand: the project, their task, and texts that they may rest on."""

    store: ProjectStore
    task: Task
    texts: Sequence[str] = ()


async def find_by_rules(
    place: Surroundings, drafts: Sequence[Draft]
) -> Mapping[str, tuple[Finding, ...]]:
    """Return what the rules find, by the ids of the drafts."""
    contexts = await _contexts(place, drafts)
    return {draft.id: check_content(draft.content, contexts[draft.id]) for draft in drafts}


async def find_with_model(
    writer: SpecWriter, place: Surroundings, drafts: Sequence[Draft]
) -> DraftFindings:
    """Return what rules and a model find; where the model fails, the rules' findings stay."""
    contexts = await _contexts(place, drafts)
    result = DraftFindings(search_scope=search_scope([d.content for d in drafts], writer.model))

    async def look(draft: Draft) -> None:
        context = contexts[draft.id]
        findings = check_content(draft.content, context)
        try:
            findings = await examine(writer, draft.content, context, findings)
        except ModelError as error:
            result.notes.append(f"The model examined nothing: {error}")
            result.search_scope = search_scope([d.content for d in drafts], None)
        result.by_draft[draft.id] = findings

    async with anyio.create_task_group() as group:
        for draft in drafts:
            group.start_soon(look, draft)
    return result


def findings_that_stay(earlier: Sequence[Finding], content: SpecContent) -> tuple[Finding, ...]:
    """Return the findings of a model whose clause still has their words."""
    texts = {clause.id: clause.text for clause in content.clauses}
    return tuple(
        item
        for item in earlier
        if item.source != RULES and item.words and item.words in texts.get(item.clause, "")
    )


async def _contexts(place: Surroundings, drafts: Sequence[Draft]) -> Mapping[str, CheckContext]:
    """Return what binds the outputs beside each draft: the task, other specs, the texts."""
    store, task = place.store, place.task
    saved = {spec.id: await clauses_of(store, spec) for spec in await store.children(task, Spec)}
    documents = {f"Source {number}": text for number, text in enumerate(place.texts, 1)}
    ids = {draft.spec_id for draft in drafts}
    saved_contents = [content for id, content in saved.items() if id not in ids]
    return {
        draft.id: task_context(
            task,
            [*saved_contents, *(other.content for other in drafts if other.id != draft.id)],
            documents,
        )
        for draft in drafts
    }
