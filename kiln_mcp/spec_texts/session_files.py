"""The file beside a task that holds its sessions, event by event."""

from functools import partial
from typing import Final

import anyio.to_thread
from pydantic import ValidationError

from kiln_mcp.spec_texts.session_events import SessionEvent, SpecSession, sessions_of
from storage import Change, ProjectStore, Task
from storage.commits.side_files import whole_lines, with_lines

SESSIONS: Final = "kiln_mcp_spec_sessions.jsonl"


async def read_sessions(store: ProjectStore, task: Task) -> list[SpecSession]:
    """Return the sessions of a task, the one that was worked on last at the end.

    Raises:
        UnsafePath: The file is a link, or a link leads to it.
    """
    lines = await store.side_lines(task, SESSIONS)
    return await anyio.to_thread.run_sync(_sessions, lines)


async def agreement_goal(store: ProjectStore, task: Task, eval_id: str) -> float | None:
    """Return the agreement that the person asks of an eval's judge; None if they named none."""
    for session in reversed(await read_sessions(store, task)):
        if session.goal and any(draft.eval_id == eval_id for draft in session.open_drafts):
            return session.goal
    return None


def append_event(change: Change, task: Task, event: SessionEvent) -> None:
    """Add an event to a task's sessions; a second attempt of its job adds none."""
    change.write_side_file(task, SESSIONS, partial(_with_event, event=event))


def _sessions(lines: list[str]) -> list[SpecSession]:
    events: list[SessionEvent] = []
    for line in lines:
        try:
            content = line.encode("utf-8", "surrogateescape")
            events.append(SessionEvent.model_validate_json(content))
        except ValidationError:
            continue
    return sessions_of(sorted(events, key=lambda event: event.at))


def _with_event(content: bytes | None, event: SessionEvent) -> bytes | None:
    lines = whole_lines(content or b"")
    mark = f'"job":"{event.job}"'
    if event.job and any(mark in line and f'"step":"{event.step}"' in line for line in lines):
        return None
    return with_lines(content, [event.model_dump_json(exclude_defaults=True)])
