"""Kiln's own library, in a Python of its own, as a reader of what is written here."""

import asyncio
import json
import os
from pathlib import Path
from typing import Final

import pytest
from pydantic import JsonValue

READER: Final = Path(__file__).parents[2] / "benchmarks" / "store" / "kiln_reads.py"


async def read_by_kiln(folder: Path, *more: str) -> dict[str, JsonValue]:
    """Return what Kiln's library says of a project: its `errors`, and `counts` by kind.

    Args:
        folder: The project's.
        more: `rewrite`: save each record again.
    """
    python = os.environ.get("KILN_AI_PYTHON")
    if python is None:
        pytest.skip("KILN_AI_PYTHON does not name a Python that has kiln-ai 1.2.0")
    run = await asyncio.create_subprocess_exec(
        python, "-W", "ignore", READER, folder, *more, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(100):
        out, _ = await run.communicate()
    report: dict[str, JsonValue] = json.loads(out)
    return report
