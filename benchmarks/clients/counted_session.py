"""A session of a client that counts its calls and tokens; for benchmarks in other folders, too."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[2]
BRIDGE = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"


def token_count(text: str) -> int:
    """Return the tokens of a text; the vocabulary comes with litellm."""
    import tiktoken

    return len(tiktoken.get_encoding("cl100k_base").encode(text, disallowed_special=()))


class CountedSession:
    """A client that counts what it sends and reads, by tool."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    async def call(self, tool: str, **arguments: object) -> Mapping[str, Any]:
        """Call a tool; end with its sentence if it fails."""
        answer = await self.client.call_tool(tool, dict(arguments))
        text = "".join(getattr(block, "text", "") for block in answer.content)
        if answer.is_error:
            raise SystemExit(f"{tool}: {text}")
        self.calls[tool] += 1
        content = json.dumps(answer.structured_content, ensure_ascii=False)
        self.tokens[tool] += token_count(json.dumps(arguments)) + token_count(content)
        return answer.structured_content or {}


def server_in(folder: Path) -> StdioServerParameters:
    """Return our server with a home in a folder."""
    environment = {**os.environ, "KILN_MCP_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment)


def run_in_folder(
    run: Callable[[Path, int], Awaitable[None]], description: str | None, count: int
) -> None:
    """Read the arguments and run a session in a folder of its own.

    Args:
        run: Takes the folder and how many items are wanted.
        description: Of the command.
        count: How many items are wanted if nobody says.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count)
    arguments = parser.parse_args()
    import litellm

    vocabulary = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(vocabulary))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_wait(run(Path(folder), arguments.count)))


async def _wait(work: Awaitable[None]) -> None:
    await work
