"""The command that shows the main job on the embedded model."""

import os
from pathlib import Path

import click

from kiln_mcp.settings import Settings


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for its two projects.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of every random choice.")
def demo(folder: Path | None, seed: int) -> None:
    """Take a one-line wish to a measured, better prompt with the embedded model."""
    from kiln_mcp.demo import demonstrate

    demonstrate(folder, seed=seed, settings=Settings.from_environment(os.environ))
