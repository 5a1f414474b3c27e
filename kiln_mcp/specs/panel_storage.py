"""Keep the verdicts of panels beside the task, by the texts of clauses and the ids of runs.

A clause that is changed has another digest, so its old verdicts no longer count; those of the other
clauses stay. An output that is changed has another fingerprint.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Final, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kiln_mcp.evaluators.verdict_matrix import PanelMember, VerdictMatrix
from kiln_mcp.spec_texts.spec_content import Clause
from kiln_mcp.specs.clause_panel import ClausePanel, panel_of
from kiln_mcp.specs.panel_calls import PanelVerdict
from kiln_mcp.specs.panel_outputs import LONGEST_TEXT, PanelOutput, PanelSample
from kiln_mcp.specs.panel_readings import Manner, Reading
from kiln_mcp.statistics.reading_tables import Cell
from storage import ProjectStore, Task, TaskRun
from storage.index.queries import RunQuery
from storage.index.results import items
from storage.text.excerpts import excerpt

CLAUSE_VERDICTS: Final = "kiln_mcp_clause_verdicts.jsonl"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    v: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class _ReadingLine(_Line):
    kind: Literal["reading"] = "reading"
    id: str
    model: str
    manner: Manner
    wording: int
    texts: dict[str, str]


class _VerdictLine(_Line):
    """The verdicts of one reading on one output: by clause, one for each repeat."""

    kind: Literal["verdicts"] = "verdicts"
    reading: str
    item: str
    output: str
    verdicts: dict[str, list[bool]]
    reasons: dict[str, str] = Field(default_factory=dict)


_LINE: Final[TypeAdapter[_ReadingLine | _VerdictLine]] = TypeAdapter(
    Annotated[_ReadingLine | _VerdictLine, Field(discriminator="kind")]
)


def clause_digest(clause: Clause) -> str:
    """Return what changes with a clause's meaning: its text and polarity."""
    content = f"{clause.polarity}\0{' '.join(clause.text.split())}"
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


async def store_panel(store: ProjectStore, task: Task, panel: ClausePanel) -> None:
    """Append a panel's verdicts to the side file of the task, unless they are there.

    Raises:
        storage.errors.StorageError: The file is no ordinary file, or cannot be written.
    """
    lines = await _read_lines(store, task)
    readings = {line.id for line in lines if isinstance(line, _ReadingLine)}
    contents = {_content(line) for line in lines if isinstance(line, _VerdictLine)}
    own = [line for line in _verdict_lines(panel) if _content(line) not in contents]
    digests = {clause.id: clause_digest(clause) for clause in panel.clauses}
    new: list[_Line] = [
        _ReadingLine(
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
    lines = await _read_lines(store, task)
    ids = {clause_digest(clause): clause.id for clause in clauses}
    newest = {
        (line.reading, line.item): line
        for line in lines
        if isinstance(line, _VerdictLine) and not ids.keys().isdisjoint(line.verdicts)
    }
    readings = {
        line.id: Reading(
            line.model,
            line.manner,
            line.wording,
            {ids[digest]: text for digest, text in line.texts.items() if digest in ids},
        )
        for line in lines
        if isinstance(line, _ReadingLine)
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


def _verdict_lines(panel: ClausePanel) -> list[_VerdictLine]:
    lines: list[_VerdictLine] = []
    digests = {clause.id: clause_digest(clause) for clause in panel.clauses}
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
                    _VerdictLine(
                        reading=reading.id,
                        item=output.item,
                        output=output.fingerprint,
                        verdicts=verdicts,
                        reasons=reasons,
                    )
                )
    return lines


def _content(line: _VerdictLine) -> str:
    return line.model_dump_json(exclude={"at"})


def _verdicts_of(line: _VerdictLine, reading: str, ids: Mapping[str, str]) -> list[PanelVerdict]:
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


async def _read_lines(store: ProjectStore, task: Task) -> list[_ReadingLine | _VerdictLine]:
    lines = await store.side_lines(task, CLAUSE_VERDICTS)
    return await anyio.to_thread.run_sync(_parse, lines)


def _parse(lines: Sequence[str]) -> list[_ReadingLine | _VerdictLine]:
    """Return the lines that can be read; a damaged line costs itself alone."""
    entries: list[_ReadingLine | _VerdictLine] = []
    for line in lines:
        try:
            entries.append(_LINE.validate_json(line.encode("utf-8", "surrogateescape")))
        except ValidationError:
            continue
    return entries
