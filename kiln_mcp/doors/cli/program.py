"""The command line: every capability as a command, and commands for setup and service.

Without a command it serves MCP over standard input and output, as a client starts it.
"""

import logging
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import anyio
import click

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli.approvals import allow, approve
from kiln_mcp.doors.cli.failures import FAILED, run_guarded
from kiln_mcp.doors.cli.invocation import FindDaemon, call, find_none
from kiln_mcp.doors.cli.options import option_of
from kiln_mcp.doors.cli.projects import projects
from kiln_mcp.doors.cli.trust import trust
from kiln_mcp.errors import disk_sentence, leaves
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import AnyCapability
from storage.errors import WorkbenchError


class _Capabilities(click.Group):
    """The group of commands, with one for every capability of the catalogue."""

    @cached_property
    def _capabilities(self) -> dict[str, AnyCapability]:
        """The catalogue by command name; cached, because the search for extensions takes time."""
        return {c.name.replace("_", "-"): c for c in installed_catalogue().capabilities}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._capabilities]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        item = self._capabilities.get(cmd_name.replace("_", "-"))
        return None if item is None else _command(item)


@click.group(cls=_Capabilities, invoke_without_command=True)
@click.version_option(package_name="kiln-mcp-server")
@click.pass_context
def cli(context: click.Context) -> None:
    """Measure an AI feature and make it better.

    Without a command, serves MCP over standard input and output for an assistant.
    """
    if context.invoked_subcommand is None:
        serve_over_stdio()


def serve_over_stdio() -> None:
    """Serve MCP over standard input and output; if that fails, tell the client the reason."""
    from kiln_mcp.doors.server import refuse_all, serve_stdio

    if sys.stdin.isatty():
        click.echo(
            "Serving MCP on standard input and output: an assistant starts this. "
            "For a person: kiln-mcp --help, kiln-mcp demo, or kiln-chat. Ctrl-C ends it.",
            err=True,
        )
    settings = Settings.from_environment(os.environ)
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


@cli.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Port on 127.0.0.1; 0: any free port.",
)
@click.option(
    "--idle-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="Minutes without a request after which it ends.",
)
def serve(port: int, idle_minutes: float) -> None:
    """Serve MCP over HTTP at /mcp and run jobs: the daemon that clients share."""
    from kiln_mcp.doors.daemon import serve as serve_http

    settings = Settings.from_environment(os.environ)
    run = partial(serve_http, port=port, idle_s=idle_minutes * 60)
    anyio.run(run, settings, installed_catalogue())


@cli.command()
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
        if workspace.desk is not None:
            await workspace.desk.runner()
        click.echo("kiln-mcp: Ready: this worker runs jobs until Ctrl-C stops it.", err=True)
        await anyio.sleep_forever()


cli.add_command(trust)
cli.add_command(projects)


@cli.group()
def models() -> None:
    """Manage models."""


@models.command()
def pull() -> None:
    """Fetch the embedded model (93 MB, once)."""
    from kiln_mcp.llm import pull_embedded_model

    click.echo(f"The embedded model is installed: {pull_embedded_model()}")


@cli.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for its two projects.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of every random choice.")
def demo(folder: Path | None, seed: int) -> None:
    """Take a one-line wish to a measured, better prompt with the embedded model."""
    from kiln_mcp.demo import demonstrate

    demonstrate(folder, seed=seed, settings=Settings.from_environment(os.environ))


cli.add_command(approve)
cli.add_command(allow)


def _command(item: AnyCapability) -> click.Command:
    """Return the command of a capability, from its schema."""
    properties = item.input_schema.get("properties")
    required = item.input_schema.get("required")
    schemas = properties if isinstance(properties, dict) else {}
    required_names = required if isinstance(required, list) else []
    options = [
        option_of(name, schema if isinstance(schema, dict) else {}, required=name in required_names)
        for name, schema in schemas.items()
    ]
    if item.proposes:
        text = "In a terminal: agree to its plan without a question."
        options.append(click.Option(["--yes"], is_flag=True, help=text))
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON."))
    return click.Command(
        item.name.replace("_", "-"),
        params=list(options),
        callback=partial(call, item),
        help=item.help,
        short_help=item.title + ".",
    )


def main(find_daemon: FindDaemon = find_none) -> None:
    """Run the command line; every failure is one sentence on stderr and an exit code.

    Args:
        find_daemon: Finds or starts the daemon.
    """
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("KILN_MCP_LOG", "WARNING").upper())
    sys.exit(run_guarded(lambda: cli.main(standalone_mode=False, obj=find_daemon)))
