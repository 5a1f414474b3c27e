"""What goes on at a terminal where a menu of the embedded model ended."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from agent.commands import label, spec

if TYPE_CHECKING:
    from agent.session import Session
    from agent.terminal.results import ShownResult


async def go_on(session: "Session", result: "ShownResult") -> None:
    """Go on with drafts that are not saved, or with items that were drawn for labels."""
    finished = result.finished
    answer = finished.structured
    if finished.is_error or finished.refusal or not isinstance(answer, dict):
        return
    arguments = cast("Mapping[str, JsonValue]", json.loads(result.arguments))
    if finished.name == spec.BUILD and not answer.get("saved"):
        await spec.go_on(session, str(arguments["project"]), answer)
    elif finished.name == label.DRAW:
        await label.label_batch(session, arguments, answer)
