"""Lines of files beside an eval, each one frozen model; a line that cannot be read is left out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from storage import Change, Eval, ProjectStore


def _in_utc(at: datetime) -> datetime:
    """Take a time without a zone for UTC. People and other programs write such times."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class Line(BaseModel):
    """One line: when it was added, and by whom."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)

    v: int = 1
    at: Annotated[datetime, AfterValidator(_in_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    by: str = ""


LineT = TypeVar("LineT", bound=Line)


async def read_lines(
    store: ProjectStore, eval_record: Eval, name: str, kind: type[LineT]
) -> list[LineT]:
    """Return the lines of a file beside an eval, the oldest first.

    Raises:
        UnsafePath: The file is a link, or a link leads to it.
    """
    lines: list[LineT] = []
    for text in await store.side_lines(eval_record, name):
        try:
            lines.append(kind.model_validate_json(text.encode("utf-8", "surrogateescape")))
        except ValidationError:
            continue
    return sorted(lines, key=lambda line: line.at)


def append(change: Change, eval_record: Eval, name: str, lines: Sequence[Line]) -> None:
    """Add lines to the end of a file beside an eval."""
    change.append_lines(eval_record, name, [line.model_dump_json() for line in lines])
