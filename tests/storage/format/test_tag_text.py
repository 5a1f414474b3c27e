"""Other tags take the place of a record's tags in its text, and every other byte stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from storage import EvalInput, FromDisk, TaskOutput, TaskRun
from storage.errors import StorageError, UnreadableRecord
from storage.format.record_text import parse_record, revision_of
from storage.format.tag_text import text_with_tags
from storage.new_records import new_text
from storage.records.evaluation import SingleTurnData, UserMessage
from storage.text.json_text import patch_json

PATH = "tasks/1 - T/runs/2/task_run.kiln"
tags = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1),
                max_size=4, unique=True).map(tuple)  # fmt: skip
texts = st.text(st.characters(codec="utf-8"))


def run_with(own_tags: tuple[str, ...], text: str = "in") -> TaskRun:
    return TaskRun(input=text, output=TaskOutput(output=text), tags=own_tags)


def as_amended(content: bytes, new_tags: tuple[str, ...]) -> bytes:
    """Return what the patch of the whole record makes of the text."""
    record = parse_record(TaskRun, content, PATH)
    old: dict[str, JsonValue] = record.model_dump(mode="json")
    new: dict[str, JsonValue] = record.replace(tags=new_tags).model_dump(mode="json")
    return patch_json(content.decode(), old, new).encode()


def spelled(content: bytes, indent: int | None, *, escaped: bool, line_end: str) -> bytes:
    text = json.dumps(json.loads(content), indent=indent, ensure_ascii=escaped)
    return text.replace("\n", line_end).encode()


@given(tags, tags, texts, st.sampled_from((2, 4, None)), st.booleans(), st.sampled_from("\n \r\n"))
def test_the_text_is_that_of_the_patch_of_the_whole_record(
    old: tuple[str, ...],
    new: tuple[str, ...],
    text: str,
    indent: int | None,
    escaped: bool,
    line_end: str,
) -> None:
    content = spelled(new_text(run_with(old, text)), indent, escaped=escaped, line_end=line_end)
    result = text_with_tags(TaskRun, content, PATH, lambda _: new)
    if old == new:
        assert result is None
    else:
        assert result == (as_amended(content, new), new)


def test_a_list_of_tags_within_another_value_is_left_alone() -> None:
    run = TaskRun.model_validate(
        {"input": 'x\n  "tags": []', "output": {"output": "o"}, "aside": {"tags": ["a"]}},
        context=FromDisk(),
    )
    content = new_text(run)
    tricky = content.replace(b'    "tags": [\n      "a"\n    ]', b'  "tags": [\n    "a"\n  ]')
    for text in (content, tricky):
        result = text_with_tags(TaskRun, text, PATH, lambda _: ("b",))
        assert result is not None
        record = parse_record(TaskRun, result[0], PATH)
        assert (record.tags, record.model_extra) == (("b",), {"aside": {"tags": ["a"]}})


def test_an_input_alone_is_retagged_too() -> None:
    data = SingleTurnData(user_message=UserMessage(text="hi"))
    content = new_text(EvalInput(data=data, tags=("a",)))
    result = text_with_tags(EvalInput, content, PATH, lambda old: (*old, "b"))
    assert result is not None
    assert parse_record(EvalInput, result[0], PATH).tags == ("a", "b")


def test_a_tag_that_the_format_has_not_is_refused() -> None:
    with pytest.raises(StorageError, match="space"):
        text_with_tags(TaskRun, new_text(run_with(("a",))), PATH, lambda _: ("a b",))


def test_a_text_that_is_no_record_is_refused_unless_it_was_read_before() -> None:
    content = new_text(run_with(("a",))).replace(b'"output": "in"', b'"output": 7')
    with pytest.raises(UnreadableRecord):
        text_with_tags(TaskRun, content, PATH, lambda _: ("b",), revision_of(b"other"))
    known = revision_of(content)
    assert text_with_tags(TaskRun, content, PATH, lambda _: ("b",), known) is not None
