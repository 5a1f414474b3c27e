"""The clauses and examples of a saved spec: its fields, and a file beside it with the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kiln_mcp.spec_texts.content_fields import content_from, has_fields
from kiln_mcp.spec_texts.spec_content import Clause, SpecContent, SpecExample
from kiln_mcp.spec_texts.spec_kinds import fields_of, kind_of
from storage import Change, ProjectStore, Spec

CONTENTS: Final = "kiln_mcp_spec_contents.jsonl"


def _in_utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class ContentLine(BaseModel):
    """A version of a spec's clauses and examples; the newest counts.

    Attributes:
        by: Who saved it.
        session: The session that it comes from; "" if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    v: int = 1
    at: Annotated[datetime, AfterValidator(_in_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    by: str = ""
    session: str = ""
    clauses: tuple[Clause, ...] = ()
    examples: tuple[SpecExample, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContentAuthor:
    """Who saves a content, and in which session."""

    name: str
    session: str = ""


CONTENT: Final[TypeAdapter[SpecContent]] = TypeAdapter(SpecContent)
"""Writes and reads a content as JSON."""


async def clauses_of(store: ProjectStore, spec: Spec) -> SpecContent:
    """Return the clauses and examples of a saved spec, with what others edited since.

    Raises:
        UnsafePath: The file beside it is a link, or a link leads to it.
    """
    kind, fields = kind_of(spec), fields_of(spec)
    lines = _readable(await store.side_lines(spec, CONTENTS))
    versions = [
        SpecContent(kind, spec.name, line.clauses, line.examples, line.assumptions)
        for line in reversed(lines)
    ]
    match = next((version for version in versions if has_fields(version, fields)), None)
    previous = match or next(iter(versions), None)
    return content_from(kind, spec.name, fields, previous)


def append_content(change: Change, spec: Spec, content: SpecContent, author: ContentAuthor) -> None:
    """Add a version of a spec's content to the file beside it."""
    line = ContentLine(
        by=author.name,
        session=author.session,
        clauses=tuple(content.clauses),
        examples=tuple(content.examples),
        assumptions=tuple(content.assumptions),
    )
    change.append_lines(spec, CONTENTS, [line.model_dump_json()])


def read_content(text: str) -> SpecContent:
    """Return a content from its JSON."""
    content = CONTENT.validate_json(text)
    return replace(
        content,
        clauses=tuple(content.clauses),
        examples=tuple(content.examples),
        assumptions=tuple(content.assumptions),
    )


def _readable(lines: Sequence[str]) -> list[ContentLine]:
    versions: list[ContentLine] = []
    for text in lines:
        try:
            versions.append(
                ContentLine.model_validate_json(text.encode("utf-8", "surrogateescape"))
            )
        except ValidationError:
            continue
    return sorted(versions, key=lambda version: version.at)
