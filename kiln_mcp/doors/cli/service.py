"""The commands that serve: MCP over standard input and output, the daemon, and a worker."""

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import click

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.border.tool_choice import choice_in, read_toolsets
from kiln_mcp.doors.cli.failures import FAILED
from kiln_mcp.errors import disk_sentence, leaves
from kiln_mcp.settings import Settings
from storage.errors import WorkbenchError


def serve_over_stdio() -> None:
    """Serve MCP over standard input and output; if that fails, tell the client the reason."""
    from kiln_mcp.doors.server import refuse_all, serve_stdio

    if sys.stdin.isatty():
        click.echo(
            "Serving MCP on standard input and output: an assistant starts this. "
            "For a person: kiln-mcp --help, kiln-mcp demo, or kiln-chat. Ctrl-C ends it.",
            err=True,
        )
    settings = with_tools(Settings.from_environment(os.environ), None, output_schemas=False)
    catalogue = installed_catalogue()
    is_open = False
    failures: list[str] = []  # an exit within `except*` would be wrapped in a group

    async def run() -> None:
        nonlocal is_open
        async with catalogue.open_workspace(settings) as workspace:
            is_open = True
            await serve_stdio(nullcontext(workspace), catalogue)

    try:
        anyio.run(run)
    except* (WorkbenchError, OSError) as errors:
        failures += [
            disk_sentence(error) if isinstance(error, OSError) else str(error)
            for error in leaves(errors)
            if not isinstance(error, BrokenPipeError)  # the client has ended
        ]
    if failures:
        click.echo(f"kiln-mcp: {' '.join(failures)}", err=True)
        if not (is_open or sys.stdin.isatty()):
            refuse_all(" ".join(failures), sys.stdin.buffer, sys.stdout.buffer)
        sys.exit(FAILED)


def with_tools(settings: Settings, toolsets: str | None, *, output_schemas: bool) -> Settings:
    """Return settings with what clients are shown of the tools, if they do not say it themselves.

    Args:
        settings: Those of this process.
        toolsets: The sets of an option; None for those of the environment.
        output_schemas: Whether an option asks for schemas of answers.

    Raises:
        click.UsageError: A set does not exist.
    """
    try:
        choice = choice_in(os.environ)
        sets = choice.toolsets if toolsets is None else read_toolsets(toolsets)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    schemas = output_schemas or choice.output_schemas
    return replace(settings, toolsets=sets, output_schemas=schemas)


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Port on 127.0.0.1, kept for later starts; 0: the kept one, or any free one.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the token that clients send; written if missing. Left out: a kept token.",
)
@click.option(
    "--idle-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Minutes without a request after which it ends.",
)
@click.option("--toolsets", help="Sets of tools beside the default one: team, admin.")
@click.option("--output-schemas", is_flag=True, help="List the schemas of answers, too.")
def serve(
    port: int,
    token_file: Path | None,
    idle_minutes: float,
    *,
    toolsets: str | None,
    output_schemas: bool,
) -> None:
    """Serve MCP over HTTP at /mcp and run jobs: the daemon that clients share."""
    from kiln_mcp.doors.daemon import serve as serve_http

    settings = with_tools(
        Settings.from_environment(os.environ), toolsets, output_schemas=output_schemas
    )
    run = partial(serve_http, port=port, token_file=token_file, idle_s=idle_minutes * 60)
    anyio.run(run, settings, installed_catalogue())


@click.command()
@click.option("--database-url", help="With a password, set KILN_MCP_DATABASE_URL instead.")
def worker(database_url: str | None) -> None:
    """Run jobs from a shared Postgres database until stopped; start any number of workers."""
    settings = Settings.from_environment(os.environ)
    url = database_url or settings.shared_database_url
    if url is None or not url.startswith(("postgresql://", "postgres://")):
        other = "" if url is None else f", and {url.partition(':')[0]!r} is not Postgres"
        raise click.UsageError(
            "A worker needs a shared database: postgresql://… in KILN_MCP_DATABASE_URL (with a "
            f"password), or in --database-url{other}."
        )
    anyio.run(_work, replace(settings, shared_database_url=url))


async def _work(settings: Settings) -> None:
    async with installed_catalogue().open_workspace(settings) as workspace:
        if workspace.job_client is not None:
            await workspace.job_client.runner()
        click.echo("kiln-mcp: Ready: this worker runs jobs until Ctrl-C stops it.", err=True)
        await anyio.sleep_forever()
