"""Open a project for the gate, with what is there: a clean checkout has no home."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from kiln_mcp.settings import Settings
from storage import ProjectStore
from storage.errors import WriteError


@asynccontextmanager
async def open_for_gate(
    folder: Path, environment: Mapping[str, str]
) -> AsyncGenerator[ProjectStore]:
    """Open a project with the index of the person's home, or a temporary one where it has none.

    Args:
        folder: The project's folder.
        environment: Says where the home is.

    Raises:
        StorageError: The folder cannot be opened as a project.
    """
    home = Settings.from_environment(environment).home
    store = await _open(folder, home if await anyio.Path(home).is_dir() else None)
    try:
        await store.refresh()
        yield store
    finally:
        await store.close()


async def _open(folder: Path, home: Path | None) -> ProjectStore:
    try:
        return await ProjectStore.open(folder, home=home)
    except WriteError:
        return await ProjectStore.open(folder)
