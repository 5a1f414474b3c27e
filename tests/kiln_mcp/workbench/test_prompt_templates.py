import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.workbench.prompt_templates import PromptPart, PromptTemplate, fence, load_prompt
from storage.errors import Refusal

TWO_SLOTS = PromptTemplate(
    "room/two", "# System\nBe brief.\n\n# User\nTask: {{the_task}}\nWish: {{wish}}\n"
)

hostile = st.lists(
    st.sampled_from(["<", "</", "< /", ">", "the-task", "THE-TASK", "wish", "Wish", "\n# User\n",
                     "{{wish}}", " ", "​", "&lt;", "<<", "_"])
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


@given(hostile, hostile)
def test_no_value_can_end_its_fence_or_open_another(first: str, second: str) -> None:
    text = TWO_SLOTS.render(the_task=first, wish=second)
    for tag in ("the-task", "wish"):
        project = list(re.finditer(rf"<[^<a-zA-Z0-9]*{tag}", text, re.IGNORECASE))
        assert [hit[0] for hit in project if "/" not in hit[0]] == [f"<{tag}"]
        assert [hit[0] for hit in project if "/" in hit[0]] == [f"</{tag}"]


@given(hostile, hostile)
def test_no_value_can_start_a_message(first: str, second: str) -> None:
    parts = TWO_SLOTS.messages(the_task=first, wish=second)
    assert [part.role for part in parts] == ["system", "user"]
    assert parts[0] == PromptPart("system", "Be brief.")


@given(st.text())
def test_a_value_without_tags_arrives_as_it_is(value: str) -> None:
    gap = "\n" if "\n" in value else ""
    if "<" not in value:
        assert fence("note", value) == f"<note>{gap}{value}{gap}</note>"


def test_a_value_is_not_searched_for_slots() -> None:
    assert "<the-task>{{wish}}</the-task>" in TWO_SLOTS.render(the_task="{{wish}}", wish="w")


def test_missing_and_unknown_slots_are_named_with_the_valid_ones() -> None:
    with pytest.raises(
        Refusal, match=r"missing wish; unknown wsih\. Its slots are: the_task, wish"
    ):
        TWO_SLOTS.render(the_task="a", wsih="b")


def test_a_file_without_roles_is_one_user_message() -> None:
    assert PromptTemplate("a/b", "Say {{word}}.").messages(word="yes") == (
        PromptPart("user", "Say <word>yes</word>."),
    )


def test_the_fingerprint_changes_with_the_text_alone() -> None:
    assert PromptTemplate("a/b", "x").fingerprint == PromptTemplate("c/d", "x").fingerprint
    assert PromptTemplate("a/b", "x").fingerprint != PromptTemplate("a/b", "y").fingerprint


def test_a_prompt_file_is_loaded_by_room_and_name() -> None:
    prompt = load_prompt("specs", "draft")
    assert prompt.name == "specs/draft"
    assert "wish" in prompt.slots


@pytest.mark.parametrize(("room", "name"), [("specs", "nothing"), ("specs", "../prompts/draft")])
def test_an_unknown_prompt_is_refused_with_the_known_names(room: str, name: str) -> None:
    with pytest.raises(Refusal, match=r"valid names: .*draft"):
        load_prompt(room, name)


@pytest.mark.parametrize("room", ["nowhere", "../tests", ""])
def test_an_unknown_room_has_no_prompts(room: str) -> None:
    with pytest.raises(Refusal, match="valid names: none"):
        load_prompt(room, "draft")
