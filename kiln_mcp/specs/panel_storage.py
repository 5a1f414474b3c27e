"""Keep the verdicts of panels beside the task, by the texts of clauses and the ids of runs.

A clause that is changed has another digest, so its old verdicts no longer count; those of the other
clauses stay. An output that is changed has another fingerprint.
"""

from collections.abc import Collection, Mapping, Sequence

from kiln_mcp.evaluators.clause_verdicts import (
    CLAUSE_VERDICTS,
    ClauseVerdictLine,
    ReadingLine,
    clause_digest,
    read_clause_lines,
)
from kiln_mcp.evaluators.verdict_matrix import PanelMember, VerdictMatrix
from kiln_mcp.spec_texts.spec_content import Clause
from kiln_mcp.specs.clause_panel import ClausePanel, panel_of
from kiln_mcp.specs.panel_calls import PanelVerdict
from kiln_mcp.specs.panel_outputs import LONGEST_TEXT, PanelOutput, PanelSample
from kiln_mcp.specs.panel_readings import MANNERS, Manner, Reading
from kiln_mcp.statistics.reading_verdicts import Cell
from storage import ProjectStore, Task, TaskRun
from storage.index.queries import RunQuery
from storage.index.results import items
from storage.text.excerpts import excerpt


async def store_panel(store: ProjectStore, task: Task, panel: ClausePanel) -> None:
    """Append a panel's verdicts to the side file of the task, unless they are there.

    Raises:
        storage.errors.StorageError: The file is no ordinary file, or cannot be written.
    """
    lines = await read_clause_lines(store, task)
    readings = {line.id for line in lines if isinstance(line, ReadingLine)}
    contents = {_content(line) for line in lines if isinstance(line, ClauseVerdictLine)}
    own = [line for line in _verdict_lines(panel) if _content(line) not in contents]
    digests = {clause.id: clause_digest(clause.text, clause.polarity) for clause in panel.clauses}
    new: list[ReadingLine | ClauseVerdictLine] = [
        ReadingLine(
            id=reading.id,
            model=reading.model,
            manner=reading.manner,
            wording=reading.wording,
            texts={digests[clause]: text for clause, text in reading.texts.items()},
        )
        for reading in panel.readings
        if reading.id not in readings
    ]
    new += own
    async with store.transaction(is_patient=True) as change:
        change.append_lines(task, CLAUSE_VERDICTS, [line.model_dump_json() for line in new])


async def read_panel(
    store: ProjectStore, task: Task, clauses: Sequence[Clause]
) -> ClausePanel | None:
    """Return the stored verdicts on clauses; None if there are none.

    Of several verdicts of one reading on one output the newest ones count. Verdicts on outputs that
    have changed or gone are left out.
    """
    lines = await read_clause_lines(store, task)
    ids = {clause_digest(clause.text, clause.polarity): clause.id for clause in clauses}
    newest = {
        (line.reading, line.item): line
        for line in lines
        if isinstance(line, ClauseVerdictLine) and not ids.keys().isdisjoint(line.verdicts)
    }
    manners: dict[str, Manner] = {manner: manner for manner in MANNERS}
    readings = {
        line.id: Reading(
            line.model,
            manners.get(line.manner, "plain"),
            line.wording,
            {ids[digest]: text for digest, text in line.texts.items() if digest in ids},
        )
        for line in lines
        if isinstance(line, ReadingLine)
    }
    outputs = await _outputs(store, task, {item for _, item in newest})
    verdicts: list[PanelVerdict] = []
    readings_by_id: dict[str, Reading] = {}
    for (reading, item), line in newest.items():
        if reading not in readings or item not in outputs:
            continue
        if outputs[item].fingerprint != line.output:
            continue
        readings_by_id[readings[reading].id] = readings[reading]
        verdicts += _verdicts_of(line, readings[reading].id, ids)
    if not verdicts:
        return None
    item_ids = {verdict.cell.item for verdict in verdicts}
    sample = PanelSample([output for item, output in outputs.items() if item in item_ids], 0)
    total = await store.count_runs(task, RunQuery(is_from_eval=False, is_complete=True))
    return panel_of(
        clauses, list(readings_by_id.values()), PanelSample(sample.outputs, total), verdicts, (), 0
    )


def panel_matrix(panel: ClausePanel) -> VerdictMatrix:
    """Return a panel as a verdict matrix: a member for each repeat of a reading, a key a clause."""
    columns: dict[tuple[PanelMember, str], dict[str, float]] = {}
    titles = {reading.id: reading.title for reading in panel.readings}
    for cell, values in panel.verdicts.items():
        for repeat, passes in enumerate(values):
            member = PanelMember(cell.reading, titles[cell.reading], repeat)
            columns.setdefault((member, cell.clause), {})[cell.item] = float(passes)
    members = tuple(dict.fromkeys(member for member, _ in columns))
    return VerdictMatrix(members, columns, {})


def _verdict_lines(panel: ClausePanel) -> list[ClauseVerdictLine]:
    lines: list[ClauseVerdictLine] = []
    digests = {clause.id: clause_digest(clause.text, clause.polarity) for clause in panel.clauses}
    for output in panel.outputs:
        for reading in panel.readings:
            cells = [Cell(clause, output.item, reading.id) for clause in digests]
            verdicts = {
                digests[cell.clause]: list(panel.verdicts[cell])
                for cell in cells
                if cell in panel.verdicts
            }
            if verdicts:
                reasons = {digests[c.clause]: panel.reasons[c] for c in cells if c in panel.reasons}
                lines.append(
                    ClauseVerdictLine(
                        reading=reading.id,
                        item=output.item,
                        output=output.fingerprint,
                        verdicts=verdicts,
                        reasons=reasons,
                    )
                )
    return lines


def _content(line: ClauseVerdictLine) -> str:
    return line.model_dump_json(exclude={"at"})


def _verdicts_of(
    line: ClauseVerdictLine, reading: str, ids: Mapping[str, str]
) -> list[PanelVerdict]:
    return [
        PanelVerdict(
            Cell(ids[digest], line.item, reading), repeat, passes, line.reasons.get(digest, "")
        )
        for digest, values in line.verdicts.items()
        if digest in ids
        for repeat, passes in enumerate(values)
    ]


async def _outputs(
    store: ProjectStore, task: Task, run_ids: Collection[str]
) -> dict[str, PanelOutput]:
    """Return the outputs of runs by id, as a panel is shown them."""
    path = task.saved.path
    rows = await store.ask(lambda index: items(index, path, RunQuery()))
    records = await store.read_all(TaskRun, [row.path for row in rows if row.id in run_ids])
    return {
        run.id: PanelOutput(
            run.id,
            excerpt(run.input, LONGEST_TEXT),
            excerpt(run.output.output, LONGEST_TEXT),
            run.fingerprint,
        )
        for run in records.values()
    }
