from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.llm.providers.sse import EventReader

line = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), min_size=1)
cuts = st.lists(st.integers(min_value=1, max_value=9), max_size=60)


Text = TypeVar("Text", str, bytes)


def cut(whole: Text, lengths: list[int]) -> list[Text]:
    pieces: list[Text] = []
    for length in lengths:
        pieces.append(whole[:length])
        whole = whole[length:]
    return [*pieces, whole]


@given(st.lists(line), cuts, st.sampled_from(["\n", "\r\n", "\r"]))
def test_events_are_the_same_however_the_bytes_are_cut(
    said: list[str], lengths: list[int], newline: str
) -> None:
    text = "".join(f": here{newline}{newline}data: {one}{newline}{newline}" for one in said)
    reader = EventReader()
    heard = [data for piece in cut(text.encode(), lengths) for data in reader.feed(piece)]
    assert [*heard, *reader.end()] == said


def test_lines_of_data_are_joined_and_other_fields_are_left_out() -> None:
    reader = EventReader()
    assert list(reader.feed(b"event: x\nid: 1\ndata: a\ndata:b\n\ndata: cut off")) == ["a\nb"]
    assert list(reader.end()) == ["cut off"]
