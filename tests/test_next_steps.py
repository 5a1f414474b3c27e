"""Suggested calls are in the catalogue; sentences name no tools, except a capability's help."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kiln_mcp.catalogue import installed_catalogue

ROOT = Path(__file__).parents[1]
TOOLS = {item.name: set(item.arguments.model_fields) for item in installed_catalogue().capabilities}
WITHOUT_TOOLS = (
    *("storage", "kiln_mcp/llm", "kiln_mcp/datasets", "kiln_mcp/statistics"),
    "kiln_mcp/spec_texts",
)
"""Lower rooms, which know no tools."""
GUIDES = {
    "kiln_mcp/doors/server/door.py": "the instructions of the MCP server, for the assistant",
    "agent/commands/table.py": "the help of the chat, with an example of a call",
}
"""Modules whose texts explain the tools, with what they explain."""
NAMED = re.compile(rf"\b({'|'.join(tool for tool in TOOLS if '_' in tool)})\b")
"""Names of tools that are no English words."""


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield each module below some folders, parsed."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def constants(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression may have as its value."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.Attribute(value=ast.Attribute(attr="item"), attr="name"):
            return  # the capability that is being called
        case ast.Attribute(value=ast.Name(id="item"), attr="name"):
            return  # it, too
        case ast.Attribute(value=ast.Name(id="step"), attr="tool"):
            return  # that of another step
        case ast.IfExp(body=body, orelse=orelse):
            yield from constants(body)
            yield from constants(orelse)
        case _:
            raise AssertionError(f"no literal: {ast.unparse(node)}")


def part_of(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def suggested() -> Iterator[tuple[str, ast.Call]]:
    """Yield each literal of NextStep with the place where it stands."""
    for path, module in modules("kiln_mcp", "agent"):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("NextStep"):
                yield f"{path}:{node.lineno}", node


def test_every_suggested_call_is_in_the_catalogue_with_its_arguments() -> None:
    for place, call in suggested():
        tool = part_of(call, "tool")
        assert tool is not None, place
        arguments = part_of(call, "arguments")
        keys = (
            []
            if not isinstance(arguments, ast.Dict)
            else [ast.literal_eval(key) for key in arguments.keys if key]
        )
        for name in constants(tool):
            assert name in TOOLS, place
            assert set(keys) <= TOOLS[name], place


CALLED = re.compile(r"\b(?:[Cc]all|[Dd]raw with|[Mm]ake one with) ([a-z]+(?:_[a-z]+)+)\b")


def test_every_tool_that_a_text_tells_to_call_is_in_the_catalogue() -> None:
    for path, module in modules("kiln_mcp", "agent", "storage"):
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                unknown = set(CALLED.findall(node.value)) - TOOLS.keys()
                assert not unknown, f"{path}:{node.lineno}"


def texts(module: ast.Module) -> Iterator[ast.Constant]:
    """Yield each text of a module."""
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def help_texts(module: ast.Module) -> Iterator[ast.AST]:
    """Yield the docstrings of a module, and the descriptions of arguments and results."""
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (line for line in node.body[:1] if isinstance(line, ast.Expr))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Field":
            yield from (item.value for item in node.keywords if item.arg == "description")


def test_a_sentence_names_no_tool_unless_it_is_help_or_a_next_step() -> None:
    faults: list[str] = []
    for path, module in modules("kiln_mcp", "agent", "storage"):
        help_ids = {id(text) for node in help_texts(module) for text in ast.walk(node)}
        faults += [
            f"{path}:{text.lineno}: {text.value!r}"
            for text in texts(module)
            if path.as_posix() not in GUIDES
            and id(text) not in help_ids
            and " " in str(text.value).strip()
            and NAMED.search(str(text.value))
        ]
    assert faults == []


def test_each_word_like_a_tool_in_the_help_of_a_capability_is_in_the_catalogue() -> None:
    catalogue = installed_catalogue()
    arguments = {name for names in TOOLS.values() for name in names}
    for item in catalogue.capabilities:
        schemas = json.dumps([item.input_schema, item.result.model_json_schema()])
        for name in re.findall(r"(?<![`.\w])[a-z]+(?:_[a-z]+)+\b(?![`.])", item.help):
            assert name in TOOLS or name in arguments or f'"{name}"' in schemas, item.name


@pytest.mark.parametrize("folder", WITHOUT_TOOLS)
def test_a_lower_room_names_no_tool(folder: str) -> None:
    faults: Mapping[str, str] = {
        f"{path}:{text.lineno}": match.group()
        for path, module in modules(folder)
        for text in texts(module)
        if (match := NAMED.search(str(text.value)))
    }
    assert faults == {}
