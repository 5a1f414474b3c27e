"""How ambiguous a spec's clauses are, beside the certificate of its judge.

Panels on clauses are verdicts of models: no person gave them, and they judge clauses, not the score
that is certified. So they take no part in a certificate. They tell how well the thing that is
certified is defined.
"""

from collections.abc import Collection, Sequence

import anyio.to_thread

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evaluators.clause_verdicts import (
    ClauseLine,
    ClauseVerdictLine,
    clause_digest,
    read_clause_lines,
)
from kiln_mcp.spec_texts.content_files import clauses_of
from kiln_mcp.statistics.clause_ambiguity import AmbiguityDecision, measure_ambiguity
from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts
from storage import ProjectStore, Spec, TaskRun
from storage.index.queries import RunQuery
from storage.index.results import items


async def ambiguity_sentences(store: ProjectStore, task_eval: TaskEval) -> list[str]:
    """Return what panels measured of the clauses of an eval's spec; none without a panel."""
    specs = await store.children(task_eval.task, Spec)
    spec = next((spec for spec in specs if spec.eval_id == task_eval.id), None)
    lines = await read_clause_lines(store, task_eval.task) if spec is not None else []
    if spec is None or not lines:
        return []
    texts = {
        clause_digest(clause.text, clause.polarity): clause.text
        for clause in (await clauses_of(store, spec)).clauses
    }
    fingerprints = await _fingerprints(
        store, task_eval, {line.item for line in lines if isinstance(line, ClauseVerdictLine)}
    )
    verdicts = verdicts_on(lines, texts.keys(), fingerprints)
    if not verdicts:
        return []
    outputs = len({cell.item for cell in verdicts})
    states = {
        AmbiguityDecision.AMBIGUOUS: "readers differ on it",
        AmbiguityDecision.NOISE: "read alike",
        AmbiguityDecision.CANNOT_TELL: "cannot be told",
    }
    return [
        f'Clause "{texts[entry.clause]}": {states[entry.decision]}, by models on {outputs} '
        f"outputs, not by people. {entry.reason}"
        for entry in await anyio.to_thread.run_sync(measure_ambiguity, verdicts)
    ]


def verdicts_on(
    lines: Sequence[ClauseLine], digests: Collection[str], fingerprints: dict[str, str]
) -> ReadingVerdicts:
    """Return the newest verdicts of each reading on clauses, less those on changed outputs.

    Args:
        lines: The stored lines, in the order in which they were written.
        digests: The clauses.
        fingerprints: Those of the outputs as they are now, by item.
    """
    return {
        Cell(digest, line.item, line.reading): values
        for line in lines
        if isinstance(line, ClauseVerdictLine) and fingerprints.get(line.item) == line.output
        for digest, values in line.verdicts.items()
        if digest in digests and values
    }


async def _fingerprints(
    store: ProjectStore, task_eval: TaskEval, ids: Collection[str]
) -> dict[str, str]:
    path = task_eval.task.saved.path
    rows = await store.ask(lambda index: items(index, path, RunQuery()))
    runs = await store.read_all(TaskRun, [row.path for row in rows if row.id in ids])
    return {run.id: run.fingerprint for run in runs.values()}
