"""The table of commands says what the catalogue and the commands themselves say.

python tests/kiln_mcp/doors/cli/test_command_table.py     writes the table again
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiln_mcp.catalogue import with_extensions
from kiln_mcp.doors.cli import command_table
from kiln_mcp.doors.cli.program import MODULES, load_other

TABLE: Final = Path(command_table.__file__)
REGENERATE: Final = f"python {Path(__file__).relative_to(Path(__file__).parents[4])}"
HEAD: Final = f'''"""The names and short helps of all commands, to list them without their rooms.

Generated, and compared with the catalogue by a test. To write it again:

    {REGENERATE}
"""

from collections.abc import Mapping
from typing import Final

# ruff: noqa: E501
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
    own = {
        item.name.replace("_", "-"): f"{item.title}." for item in with_extensions(()).capabilities
    }
    return (
        HEAD
        + mapping("OTHERS", others, "Commands for setup and service, with their first paragraph.")
        + mapping("CAPABILITIES", own, "Our own capabilities, in the catalogue's order.")
    )


def first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def test_the_table_says_what_the_commands_and_the_catalogue_say() -> None:
    hint = f"The table of commands is stale. Write it again: {REGENERATE}"
    assert TABLE.read_text(encoding="utf-8") == table(), hint


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
