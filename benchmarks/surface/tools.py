"""The tokens (cl100k) that a model reads of each tool: name, description and input schema.

python benchmarks/surface/tools.py
"""

import json
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from vocabulary import token_count  # noqa: E402

from kiln_mcp.catalogue import AnyCapability, with_extensions  # noqa: E402
from kiln_mcp.doors.server.tool_list import as_shown  # noqa: E402
from kiln_mcp.workbench.discovery import Toolset  # noqa: E402


def text_of(item: AnyCapability) -> str:
    """Return what a client passes to a model."""
    schema = as_shown(item.input_schema)
    parts = {"name": item.name, "description": item.help, "input_schema": schema}
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def main() -> None:
    """Print the tokens of each tool, and of each set."""
    items = with_extensions(()).capabilities
    tokens = {item.name: token_count(text_of(item)) for item in items}
    print("| set | tools | tokens | the largest |\n|---|---|---|---|")
    for toolset in Toolset:
        names = [item.name for item in items if item.discovery.toolset is toolset]
        most = sorted(names, key=lambda name: -tokens[name])
        largest = ", ".join(f"{name} {tokens[name]}" for name in most[:4])
        total = sum(tokens[name] for name in names)
        print(f"| {toolset.value} | {len(names)} | {total:,} | {largest} |")


if __name__ == "__main__":
    main()
