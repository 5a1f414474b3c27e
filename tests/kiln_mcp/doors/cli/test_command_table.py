"""The table of commands says what the catalogue and the commands themselves say.

python tests/kiln_mcp/doors/cli/test_command_table.py     writes the table again
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from kiln_mcp.catalogue import AnyCapability, with_extensions
from kiln_mcp.doors.cli import command_table
from kiln_mcp.doors.cli.capabilities import needed_arguments, ranges_in
from kiln_mcp.doors.cli.program import MODULES, load_other

TABLE: Final = Path(command_table.__file__)
REGENERATE: Final = f"python {Path(__file__).relative_to(Path(__file__).parents[4])}"
HEAD: Final = f'''"""Names, headings and helps of all commands, to list them without their rooms.

Generated, and compared with the catalogue by a test. To write it again:

    {REGENERATE}
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

# ruff: noqa: E501

Range = tuple[float | None, float | None]
"""The least and the most that a number may be; None for no such bound."""


class Entry(NamedTuple):
    """What the table says of a capability's command.

    Attributes:
        heading: Where the help lists it.
        help: The short help.
        words: Users' words for it.
        needs: The arguments that it does not do without, but for a call with an approval's id.
        alternatives: Arguments of which it needs at least one.
        ranges: The least and the most of numbers; the list of tools that models see has none.
    """

    heading: str
    help: str
    words: str
    needs: tuple[str, ...]
    alternatives: tuple[str, ...]
    ranges: Mapping[str, Range]

'''


def mapping(name: str, items: Mapping[str, str], description: str) -> str:
    lines = "".join(
        f"    {json.dumps(key)}: {json.dumps(text, ensure_ascii=False)},\n"
        for key, text in items.items()
    )
    return f'\n{name}: Final[Mapping[str, str]] = {{\n{lines}}}\n"""{description}"""\n'


def table() -> str:
    """Return the text of the table from the commands and our own capabilities."""
    others = {name: first_paragraph(load_other(name).help or "") for name in sorted(MODULES)}
    rows = "".join(map(row, with_extensions(()).capabilities))
    return (
        HEAD
        + mapping("OTHERS", others, "Commands for setup and service, with their first paragraph.")
        + f"\nCAPABILITIES: Final[Mapping[str, Entry]] = {{\n{rows}}}\n"
        + '"""Our own capabilities, in the catalogue\'s order."""\n'
    )


def row(item: AnyCapability) -> str:
    """Return the lines of the table for a capability."""
    needs = names(needed_arguments(item.name))
    alternatives = names(item.discovery.alternatives)
    words = json.dumps(item.discovery.search_hint, ensure_ascii=False)
    return (
        f'    "{item.name.replace("_", "-")}": Entry(\n        "{item.discovery.heading.value}",\n'
        f"        {json.dumps(first_sentence(item.help), ensure_ascii=False)},\n"
        f"        {words},\n        {needs},\n        {alternatives},\n"
        f"        {ranges(item)},\n    ),\n"
    )


def names(arguments: Sequence[str]) -> str:
    """Return the names of arguments, as a Python tuple."""
    texts = [json.dumps(name) for name in arguments]
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def ranges(item: AnyCapability) -> str:
    """Return the ranges of a capability's numbers, as Python."""
    numbers = ranges_in(item.input_schema)
    return "{" + ", ".join(f'"{name}": {bounds}' for name, bounds in numbers.items()) + "}"


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.?])\s", " ".join(text.split()), maxsplit=1)[0]


def first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def test_the_table_says_what_the_commands_and_the_catalogue_say() -> None:
    hint = f"The table of commands is stale. Write it again: {REGENERATE}"
    assert TABLE.read_text(encoding="utf-8") == table(), hint


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
