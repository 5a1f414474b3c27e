"""The decisions beside the eval while a search runs, so that it can be watched."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Final, cast

import anyio

from kiln_mcp.evolution.engine import Standing
from kiln_mcp.evolution.engine.decision_log import Event
from kiln_mcp.evolution.engine.models import MODEL_END
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.evolution.search_log import ResumableLog, write_decisions
from storage.errors import StorageError

PAUSE_S: Final = 5.0
"""Rejections are written so often at most; an accepted edit is written at once."""
LAST_WRITE_S: Final = 5.0
"""The longest that a search which stops waits for its last decisions to be written."""


class LiveDecisions:
    """Writes the decisions of a search beside its eval as they are taken.

    Args:
        search_context: The search.
        log: Has the decisions.
    """

    def __init__(self, search_context: SearchContext, log: ResumableLog) -> None:
        self._context = search_context
        self._log = log
        self._line_count = 0
        self._accepted = 0
        self._due = 0.0
        self._is_writing = False

    @property
    def progress(self) -> str:
        """What the search has come to, for a person who waits."""
        count = len(self._log.decisions)
        if not count:
            return "Searching"
        message = f"Searching: {self._log.accepted} of {count} edits kept"
        if self._context.label or not self._log.accepted:
            return message
        return f"{message}, an expected gain of {100 * self._gain:.1f} points so far"

    @property
    def _gain(self) -> float:
        """The gain from 0 to 1 over the start that the races of accepted edits expected."""
        accepted = [event for event in self._log.decisions if event["accepted"]]
        return sum(cast("float", e["gain"]) - cast("float", e["loss"]) for e in accepted)

    @property
    def _decisions(self) -> list[Event]:
        """The decisions of this search; a search for several models logs those of all."""
        label = self._context.label
        own = [event for event in self._log.decisions if event.get("model", "") == label]
        return [{**event, "items": _items(event["items"])} for event in own]

    async def write_if_due(self) -> None:
        """Write new decisions, unless the last ones were written a moment ago."""
        count: int = len(self._log.decisions)
        accepted: int = self._log.accepted
        is_due = anyio.current_time() >= self._due or accepted > self._accepted
        if self._is_writing or count == self._line_count or not is_due:
            return
        self._is_writing = True
        try:
            await self.write()
        finally:
            self._is_writing = False
        self._due = anyio.current_time() + PAUSE_S

    async def close(self) -> None:
        """Write the last decisions of a search that stops, within a bounded time."""
        if self._line_count == len(self._log.decisions):
            return
        with suppress(StorageError), anyio.move_on_after(LAST_WRITE_S, shield=True):
            await self.write()

    async def write(self, *further_lines: Mapping[str, object]) -> None:
        """Write all decisions, and more lines after them."""
        eval_context = self._context.eval_context
        count, accepted = len(self._log.decisions), self._log.accepted
        await write_decisions(
            eval_context.store,
            eval_context.eval_record,
            self._context.file_name,
            [self._context.start_event, *self._decisions, *further_lines],
        )
        self._line_count, self._accepted = count, accepted


def _items(names: object) -> list[str]:
    """Return the items' own ids, without the model that a search for several puts before them."""
    return [name.rpartition(MODEL_END)[2] for name in cast("Sequence[str]", names)]


def standing_event(standing: Standing) -> Event:
    """Return what was seen of a candidate, as a line of the file."""
    blocks = [block.fields for block in standing.candidate.blocks]
    own = {"candidate": standing.candidate.id, "blocks": blocks}
    return {"event": "standing", **asdict(standing), **own}
