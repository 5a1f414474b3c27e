from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from kiln_mcp.spec_texts.content_fields import fields_from
from kiln_mcp.spec_texts.content_files import (
    CONTENT,
    CONTENTS,
    ContentAuthor,
    append_content,
    clauses_of,
    read_content,
)
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import SpecKind, definition, properties_of
from storage import Project, ProjectStore, Spec, Task

CONTENT_OF_SPEC = SpecContent(
    SpecKind.TONE,
    "Kind",
    (
        Clause("c1", "Be kind.", Polarity.MUST, Origin("person", "wish")),
        Clause("c4", "No blame.", Polarity.MUST_NOT, Origin("gpt", "q1", is_assumed=True)),
    ),
    (SpecExample("e2", "You fool.", ExampleVerdict.FAIL, Origin("person"), "Help?", "c4", "rude"),),
    ("English only.",),
)


def properties(content: SpecContent) -> dict[str, object]:
    fields = fields_from(content)
    return {
        "definition": definition(content.kind, fields),
        "properties": properties_of(content.kind, fields),
    }


@asynccontextmanager
async def spec_in_project(tmp_path: Path) -> AsyncGenerator[tuple[ProjectStore, Spec]]:
    store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    task = await store.save(Task(name="T", instruction="x"), parent=store.project)
    async with store.transaction() as change:
        spec = change.save(Spec(name="Kind", **properties(CONTENT_OF_SPEC)), parent=task)  # pyright: ignore[reportArgumentType]
        append_content(change, spec, CONTENT_OF_SPEC, ContentAuthor("ann", "s1"))
    yield store, spec
    await store.close()


async def test_a_saved_spec_gives_back_its_clauses_with_ids_and_origins(tmp_path: Path) -> None:
    async with spec_in_project(tmp_path) as (store, spec):
        assert await clauses_of(store, spec) == CONTENT_OF_SPEC


async def test_an_edit_by_kilns_app_counts_and_unchanged_clauses_keep_their_ids(
    tmp_path: Path,
) -> None:
    async with spec_in_project(tmp_path) as (store, spec):
        shorter = replace(CONTENT_OF_SPEC, clauses=CONTENT_OF_SPEC.clauses[:1])
        foreign = {**fields_from(shorter), "tone_description": "- Never shout.\n- No blame."}
        edited = await store.save(
            spec.replace(
                properties=properties_of(SpecKind.TONE, foreign),
                definition=definition(SpecKind.TONE, foreign),
            )
        )
        content = await clauses_of(store, edited)
        assert [(c.id, c.text) for c in content.clauses] == [
            ("c1", "Be kind."),
            ("c5", "Never shout."),
            ("c4", "No blame."),
        ]
        assert content.examples == CONTENT_OF_SPEC.examples
        assert content.assumptions == ("English only.",)


async def test_an_older_version_that_was_restored_is_that_version_again(tmp_path: Path) -> None:
    async with spec_in_project(tmp_path) as (store, spec):
        newer = replace(CONTENT_OF_SPEC, clauses=CONTENT_OF_SPEC.clauses[:1], assumptions=())
        async with store.transaction() as change:
            append_content(change, spec, newer, ContentAuthor("bob"))
        assert await clauses_of(store, spec) == CONTENT_OF_SPEC


async def test_a_line_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    async with spec_in_project(tmp_path) as (store, spec):
        path = store.side_folder(spec) / CONTENTS
        lines = path.read_text(encoding="utf-8")
        path.write_text('{"clauses": 3}\n{"at": "2020-01-01T00:00:00"}\n' + lines, encoding="utf-8")
        assert await clauses_of(store, spec) == CONTENT_OF_SPEC


def test_a_content_survives_json() -> None:
    assert read_content(CONTENT.dump_json(CONTENT_OF_SPEC).decode()) == CONTENT_OF_SPEC
