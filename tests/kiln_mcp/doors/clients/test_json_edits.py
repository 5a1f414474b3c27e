import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.doors.clients.json_edits import NotJson, value_at, with_value, without_value

PATH = ("mcpServers", "kiln")
ENTRY: JsonValue = {"command": "/bin/kiln-mcp", "args": []}

FILES = [
    "",
    "{}",
    "{\n}\n",
    "{\n  // my servers\n}\n",
    '{"mcpServers": {}}',
    '{\n    "theme": "dark", // night\n    "mcpServers": {\n        "x": {"c": "y"}\n    }\n}\n',
    '{\r\n\t"a": [1, 2,],\r\n\t/* "mcpServers": {} */\r\n}\r\n',
    '\ufeff{\n  "mcpServers": {\n    "x": {"url": "http://a//b", "q": "\\" } //"},\n  },\n}',
    '{"a":1}',
]


def test_a_text_with_a_separator_of_lines_is_written_as_it_is() -> None:
    entry: JsonValue = {"command": "a\u2028b", "args": ["c\x85d"]}
    assert value_at(with_value("{}", PATH, entry), PATH) == entry


@pytest.mark.parametrize("text", FILES)
def test_an_entry_is_added_and_all_else_stays(text: str) -> None:
    edited = with_value(text, PATH, ENTRY)
    assert value_at(edited, PATH) == ENTRY
    for line in text.splitlines():
        inside = line.strip().strip("{}").rstrip(",").strip()
        assert inside in edited
    assert with_value(edited, PATH, ENTRY) == edited


@pytest.mark.parametrize(
    "text", [text for text in FILES if "mcpServers" in text and "/*" not in text]
)
def test_an_entry_that_is_added_and_removed_leaves_the_file_as_it_was(text: str) -> None:
    edited = with_value(text, PATH, ENTRY)
    assert value_at(without_value(edited, PATH), ("mcpServers", "kiln")) is None
    if value_at(text, ("mcpServers",)) == {}:
        assert "".join(without_value(edited, PATH).split()) == "".join(text.split())
    else:
        assert without_value(edited, PATH) == text


def test_an_entry_that_is_there_is_replaced_where_it_stands() -> None:
    text = '{"mcpServers": {"kiln": {"command": "old"}, "z": 1}} // end'
    edited = with_value(text, PATH, {"command": "new"})
    assert value_at(edited, PATH) == {"command": "new"}
    assert value_at(edited, ("mcpServers", "z")) == 1
    assert edited.endswith("// end")
    assert without_value(edited, PATH) == '{"mcpServers": {"z": 1}} // end'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", 1),
        ('{\n"a" 1}', 2),
        ('{"a": nope}', 1),
        ("[1 2]", 1),
        ("{} {}", 1),
        ('{"a": "b', 1),
        ("{'a': 1}", 1),
        ("[" * 300, 1),
    ],
)
def test_a_file_that_is_not_json_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(NotJson) as refusal:
        with_value(text, PATH, ENTRY)
    assert refusal.value.line == line


def test_a_path_through_something_else_than_an_object_is_refused() -> None:
    with pytest.raises(NotJson, match="no object"):
        with_value('{"mcpServers": []}', PATH, ENTRY)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["mcpServers", "kiln", "a", "//", "{"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    value=st.dictionaries(st.sampled_from(["mcpServers", "kiln", "a"]), _VALUES, max_size=3),
    indent=st.sampled_from([None, 1, 2, "\t"]),
)
def test_any_json_keeps_its_other_values(
    value: dict[str, JsonValue], indent: int | str | None
) -> None:
    text = json.dumps(value, indent=indent)
    servers = value.get("mcpServers", {})
    if not isinstance(servers, dict):
        with pytest.raises(NotJson):
            with_value(text, PATH, ENTRY)
        return
    edited = with_value(text, PATH, ENTRY)
    assert json.loads(edited) == {**value, "mcpServers": {**servers, "kiln": ENTRY}}
    others = {name: server for name, server in servers.items() if name != "kiln"}
    assert json.loads(without_value(edited, PATH)) == {**value, "mcpServers": others}
