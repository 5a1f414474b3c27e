"""Any name that a person types is stored in a form that the format accepts, and shown again."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Project, ProjectStore, Task
from storage.errors import Refusal
from storage.records.names import (
    LONGEST_NAME,
    check_name,
    display_label,
    folder_name,
    name_to_store,
    shown_name,
    stored_name,
    typed_name,
)

_ACCEPTED = re.compile(r'[^/\\?%*:|"<>.,;=\x00-\x1f\x7f]+')


@pytest.mark.parametrize(
    "name",
    [
        "Café",
        "Kiln.v2",
        "a/b",
        "What? Why: 5 % <= 6",
        'She said "no"; twice, = 2',
        "日本語",
        "👩‍👩‍👧",
    ],
)
def test_a_name_is_shown_as_it_was_typed(name: str) -> None:
    assert check_name(name) == name
    assert shown_name(stored_name(name)) == name


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a  b", "a b"),
        ("\ta\nb ", "a b"),
        ("_x_", "x"),
        ("a\u202eb\u200b", "ab"),
    ],
)
def test_what_cannot_be_seen_or_stored_is_left_out(typed: str, shown: str) -> None:
    assert check_name(typed) == shown


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "\x00", "x" * (LONGEST_NAME + 1)])
def test_a_name_of_nothing_or_of_too_much_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="The name"):
        check_name(name)


@pytest.mark.parametrize(
    "typed",
    ["½ cup", "ﬁne", "①", "\uff08全角\uff09\uff21", "カ\u3099", "STRASSE", "a  b", "_x__y_"],
)
async def test_a_record_is_found_by_its_name_as_it_was_typed(tmp_path: Path, typed: str) -> None:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        saved = await store.save(Task(name=typed, instruction="x"), parent=store.project)
        for reference in (typed, saved.name, stored_name(saved.name), typed.swapcase()):
            assert (await store.find(Task, reference, parent=store.project)).id == saved.id
            assert (await store.page_of(Task, text=reference)).total == 1


@pytest.mark.parametrize(
    "typed",
    ["½ cup: a/b?", "ﬁne", "①", "\uff08全角\uff09\uff21", "x² + ª", "_x__y_", "__init__", "a _ b"],
)
async def test_a_name_is_shown_as_it_was_typed_and_stored_as_the_format_wants_it(
    tmp_path: Path, typed: str
) -> None:
    home = tmp_path / "home"
    async with await ProjectStore.create(tmp_path / "p", Project(name=typed), home=home) as store:
        saved = await store.save(Task(name=typed, instruction="x"), parent=store.project)
        assert saved.name == typed
    async with await ProjectStore.open(tmp_path / "p", home=home) as store:
        (task,) = await store.children(store.project, Task)
        assert task.name == store.project.name == typed
        file = store.folder / task.saved.path
        held = json.loads(file.read_bytes())
        assert held["name"] == name_to_store(typed)
        assert unicodedata.is_normalized("NFKD", held["name"])
        before = file.read_bytes()
        task = await store.save(task.replace(instruction="y"))
        assert (task.name, display_label(dict(task)), display_label(held)) == (typed, typed, typed)
        await store.save(task.replace(instruction="x"))
        assert file.read_bytes() == before
        # Another program drops the key that it does not know, or gives another name.
        file.write_text(json.dumps({**held, "name": "Other"}), encoding="utf-8")
        (task,) = await store.children(store.project, Task)
        assert task.name == "Other"
        await store.save(task.replace(name="Plain"))
        assert "name_as_typed" not in json.loads(file.read_bytes())
        del held["name_as_typed"]
        file.write_text(json.dumps(held), encoding="utf-8")
        (task,) = await store.children(store.project, Task)
        assert task.name == shown_name(held["name"])


def test_a_name_that_is_too_long_is_refused_with_its_length_and_the_most() -> None:
    with pytest.raises(Refusal, match="The name") as refused:
        check_name("é" * 70)
    said = str(refused.value)
    assert "has 140 characters as files hold it, and 120 is the most" in said
    assert said.endswith(f"Use '{'é' * 60}'.")
    with pytest.raises(Refusal, match="The name") as refused:
        check_name("x" * 100_000)
    assert len(str(refused.value)) < 400


@given(st.text(min_size=1, max_size=60))
def test_every_accepted_name_has_a_stored_form_that_the_format_accepts(name: str) -> None:
    try:
        shown = check_name(name)
    except Refusal:
        return
    assert name_to_store(typed_name(name)) == stored_name(shown)
    stored = stored_name(shown)
    assert _ACCEPTED.fullmatch(stored)
    assert unicodedata.normalize("NFKD", stored) == stored
    assert stored == stored.strip()
    assert shown_name(stored) == shown
    assert "/" not in folder_name("1", shown)
