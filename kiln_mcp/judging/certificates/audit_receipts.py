"""What this machine wrote into a project's audits, kept in the home: lines that vanished show.

A project is files that anybody with the folder can edit. Draws that do not replay show by
themselves. A list of draws that was rewritten as a whole, or deleted, shows only to a machine that
remembers its own lines. Another home has no receipts, and the same person can edit both places.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio.to_thread

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.labels.audit_lines import AUDITS, AuditClosing, AuditDraw, AuditOpening

RECEIPTS: Final = "audit_lines.txt"
_FIELDS: Final = 3


async def keep_receipts(
    judge: Measurement, lines: Sequence[AuditOpening | AuditDraw | AuditClosing]
) -> None:
    """Remember lines of a judge's audits that were written just now.

    A home that cannot be written is no reason to refuse a draw: the line is not remembered then.
    """
    evaluator = judge.evaluator_record.id
    text = "".join(
        f"{evaluator} {_audit_of(line)} {_digest(line.model_dump_json())}\n" for line in lines
    )
    await anyio.to_thread.run_sync(_append, judge.store.state_folder / RECEIPTS, text)


async def missing_lines(judge: Measurement) -> Mapping[str, int]:
    """Return how many lines are gone or altered of those that this machine wrote, by audit."""
    evaluator = judge.evaluator_record.id
    file = judge.store.state_folder / RECEIPTS
    receipts = await anyio.to_thread.run_sync(_read, file)
    own = [(audit, digest) for owner, audit, digest in receipts if owner == evaluator]
    if not own:
        return {}
    # Receipts before lines: what is written meanwhile is in the lines alone.
    present = {
        _digest(line) for line in await judge.store.side_lines(judge.evaluator_record, AUDITS)
    }
    return Counter(audit for audit, digest in own if digest not in present)


def _audit_of(line: AuditOpening | AuditDraw | AuditClosing) -> str:
    return line.id if isinstance(line, AuditOpening) else line.audit


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _append(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.write(text.encode())
    except OSError:
        return


def _read(file: Path) -> list[tuple[str, str, str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    rows = [tuple(line.split()) for line in text.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if len(row) == _FIELDS]
