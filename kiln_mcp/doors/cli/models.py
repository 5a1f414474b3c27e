"""The commands that manage models."""

import click

from kiln_mcp.llm import pull_embedded_model


@click.group()
def models() -> None:
    """Manage models."""


@models.command()
def pull() -> None:
    """Fetch the embedded model (93 MB, once)."""
    click.echo(f"The embedded model is installed: {pull_embedded_model()}")
