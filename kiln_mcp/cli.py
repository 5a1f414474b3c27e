"""The command line: every capability as a command, and what starts and sets up the rest.

Without a command it serves MCP over standard input and output: what a client starts.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, cast

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.capability import AnyCapability, Effect
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.errors import AlreadyServing, ApprovalNeeded, InvalidArguments, disk_sentence
from kiln_mcp.llm.errors import OrdersFailed
from kiln_mcp.rendering import for_terminal, plain, render
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import Workspace
from storage.errors import WorkbenchError, said_by_system

FAILED = 1
USAGE = 2
NOT_APPROVED = 3
SERVED_ALREADY = 75
"""Another daemon serves the home: EX_TEMPFAIL; the bridge knows it too."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""

_LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)

_JOBS_WANTED: Final = frozenset({"start_job", "resume_job", "wait_for_job"})
"""Capabilities after which somebody is to do jobs."""

FindDaemon = Callable[[], str | None]
"""Finds or starts the daemon; returns why there is none, where there is none."""


def _find_none() -> str | None:
    return "no daemon is known here."


class _Capabilities(click.Group):
    """The group of commands, with one for every capability of the catalogue."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        return own + [c.name.replace("_", "-") for c in installed_catalogue().capabilities]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = {c.name.replace("_", "-"): c for c in installed_catalogue().capabilities}
        item = found.get(cmd_name.replace("_", "-"))
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
    """Serve MCP over standard input and output until they close; else tell the client why not."""
    from kiln_mcp.server import refuse_all, serve_stdio

    if sys.stdin.isatty():
        click.echo(
            "Serving MCP on standard input and output: an assistant starts this. "
            "For a person: kiln-mcp --help, kiln-mcp demo, or kiln-chat. Ctrl-C ends it.",
            err=True,
        )
    settings = Settings.from_environment(os.environ)
    catalogue = installed_catalogue()
    opened = False
    failures: list[str] = []  # an exit within `except*` would come out in a group

    async def run() -> None:
        nonlocal opened
        async with catalogue.open_workspace(settings) as workspace:
            opened = True
            await serve_stdio(nullcontext(workspace), catalogue)

    try:
        anyio.run(run)
    except* (WorkbenchError, OSError) as errors:
        failures += [
            disk_sentence(error) if isinstance(error, OSError) else str(error)
            for error in _leaves(errors)
        ]
    if failures:
        click.echo(f"kiln-mcp: {' '.join(failures)}", err=True)
        if not (opened or sys.stdin.isatty()):
            refuse_all(" ".join(failures), sys.stdin.buffer, sys.stdout.buffer)
        sys.exit(FAILED)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(one)
    else:
        yield error


@cli.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    help="Where to listen on 127.0.0.1; 0: anywhere free.",
)
@click.option(
    "--idle-minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    help="When to end.",
)
def serve(port: int, idle_minutes: float) -> None:
    """Serve MCP over HTTP at /mcp and run jobs: the daemon that clients share."""
    from kiln_mcp.daemon import serve as serve_http

    settings = Settings.from_environment(os.environ)
    run = partial(serve_http, port=port, idle_s=idle_minutes * 60)
    anyio.run(run, settings, installed_catalogue())


@cli.command()
@click.option("--database-url", help="postgresql://…; default: KILN_MCP_DATABASE_URL.")
def worker(database_url: str | None) -> None:
    """Do jobs from a shared Postgres database until stopped; run as many as wanted."""
    settings = Settings.from_environment(os.environ)
    url = database_url or settings.shared_database_url
    if url is None or not url.startswith(("postgresql://", "postgres://")):
        other = "" if url is None else f", and {url.partition(':')[0]!r} is no Postgres"
        raise click.UsageError(
            "A worker needs a shared database: --database-url postgresql://… or "
            f"KILN_MCP_DATABASE_URL{other}."
        )
    anyio.run(_work, replace(settings, shared_database_url=url))


async def _work(settings: Settings) -> None:
    async with installed_catalogue().open_workspace(settings) as workspace:
        if workspace.desk is not None:
            await workspace.desk.runner()
        click.echo("kiln-mcp: Ready: this worker does jobs until Ctrl-C stops it.", err=True)
        await anyio.sleep_forever()


@cli.group()
def models() -> None:
    """Look after the models."""


@models.command()
def pull() -> None:
    """Fetch the embedded model (93 MB, once)."""
    from kiln_mcp.llm import pull_embedded_model

    click.echo(f"The embedded model is there: {pull_embedded_model()}")


@cli.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to put the two projects it makes."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of every random choice.")
def demo(folder: Path | None, seed: int) -> None:
    """Take a one-line wish to a measured, better prompt with the embedded model."""
    from kiln_mcp.demo import demonstrate

    demonstrate(folder, seed=seed, settings=Settings.from_environment(os.environ))


def _command(item: AnyCapability) -> click.Command:
    """Make the command of a capability from its schema."""
    properties = item.input_schema.get("properties")
    required = item.input_schema.get("required")
    known = properties if isinstance(properties, dict) else {}
    needed = required if isinstance(required, list) else []
    options = [
        _option(name, schema if isinstance(schema, dict) else {}, required=name in needed)
        for name, schema in known.items()
        if name != "confirm"
    ]
    if item.asks_first:
        agree = click.Option(["--confirm", "--yes"], is_flag=True, help="Agree to its plan.")
        options.append(agree)
    options.append(click.Option(["--json", "as_json"], is_flag=True, help="Answer as JSON."))
    return click.Command(
        item.name.replace("_", "-"),
        params=list(options),
        callback=partial(_run, item),
        help=item.help,
        short_help=item.title + ".",
    )


def _option(name: str, schema: Mapping[str, JsonValue], *, required: bool) -> click.Option:
    """Make the option of one argument; what is no simple value is given as JSON or @file."""
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        real = [c for c in choices if isinstance(c, dict) and c.get("type") != "null"]
        schema = {**schema, **(real[0] if len(real) == 1 else {})}
    description = schema.get("description")
    note = description if isinstance(description, str) else ""
    default = schema.get("default")
    if default not in (None, "", []):
        shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
        note = f"{note} [default: {shown}]"
    flag = f"--{name.replace('_', '-')}"
    enum = schema.get("enum")
    if isinstance(enum, list):
        kind = click.Choice([str(value) for value in enum])
        return click.Option([flag, name], type=kind, required=required, help=note)
    match schema.get("type"):
        case "string":
            return click.Option([flag, name], type=str, required=required, help=note)
        case "integer":
            return click.Option([flag, name], type=int, required=required, help=note)
        case "number":
            return click.Option([flag, name], type=float, required=required, help=note)
        case "boolean":
            switch = f"{flag}/--no-{name.replace('_', '-')}"
            return click.Option([switch, name], default=None, help=note)
        case "array" if _items_are_text(schema):
            return click.Option(
                [flag, name], multiple=True, required=required, help=f"{note} (may be repeated)"
            )
        case _:
            return click.Option(
                [flag, name],
                callback=_json_value,
                required=required,
                help=f"{note} (JSON or @file: {_shape(schema)})",
            )


def _shape(schema: Mapping[str, JsonValue]) -> str:
    """Return how a JSON argument looks, in short: `{name, size?}`, `[{input, output?}, …]`."""
    kinds = schema.get("oneOf")
    if isinstance(kinds, list):
        return " or ".join(_shape(kind) for kind in kinds if isinstance(kind, dict))
    items, properties = schema.get("items"), schema.get("properties")
    if isinstance(items, dict):
        return f"[{_shape(items)}, …]"
    if not isinstance(properties, dict):
        kind = schema.get("type")
        return "{…}" if kind == "object" else str(kind or "any value")
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    names = [
        f'{name}: "{part["const"]}"'
        if isinstance(part, dict) and "const" in part
        else name + ("" if name in needed else "?")
        for name, part in properties.items()
    ]
    return "{" + ", ".join(names) + "}"


def _items_are_text(schema: Mapping[str, JsonValue]) -> bool:
    items = schema.get("items")
    return isinstance(items, dict) and items.get("type") == "string" and "enum" not in items


def _json_value(context: click.Context, parameter: click.Parameter, value: str | None) -> JsonValue:
    if value is None:
        return None
    try:
        text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise click.BadParameter(
            f"neither JSON nor @file: {said_by_system(error)}", context, parameter
        ) from error


def _run(item: AnyCapability, *, as_json: bool, **options: JsonValue | tuple[str, ...]) -> None:
    """Call a capability and print its answer; ask the person where it asks first."""
    arguments: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    find_daemon: FindDaemon = click.get_current_context().obj or _find_none
    try:
        answer = anyio.run(_invoke, item, arguments, find_daemon)
    except ApprovalNeeded as needed:
        if not (sys.stdin.isatty() and _agrees(needed)):
            raise
        answer = anyio.run(_invoke, item, {**arguments, "confirm": True}, find_daemon)
    text = json.dumps(answer, indent=2, ensure_ascii=False) if as_json else render(answer)
    click.echo(for_terminal(text))


def _agrees(needed: ApprovalNeeded) -> bool:
    return click.confirm(f"{for_terminal(needed.plan.text)} Go ahead?", err=True)


async def _invoke(
    item: AnyCapability, arguments: Mapping[str, JsonValue], find_daemon: FindDaemon
) -> dict[str, JsonValue]:
    settings = Settings.from_environment(os.environ)
    nobody = None
    if item.name in _JOBS_WANTED and settings.shared_database_url is None:
        nobody = await anyio.to_thread.run_sync(find_daemon)
    if nobody is not None:
        click.echo(f"kiln-mcp: {nobody} Jobs pause when this command ends.", err=True)
    # A command soon ends: it hands jobs in, and the daemon or a worker does them.
    settings = replace(settings, does_jobs=nobody is not None)
    async with installed_catalogue().open_workspace(settings) as workspace:
        heard = workspace.with_progress(_show_progress)
        if item.effect is not Effect.SPENDS:
            return plain(await item.invoke(heard, arguments))
        answer: dict[str, JsonValue] = {}
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(_say_who_is_waited_for, workspace)
                answer = plain(await item.invoke(heard, arguments))
                beside.cancel_scope.cancel()
        except BaseExceptionGroup as error:
            raise _innermost(error) from error
        return answer


async def _say_who_is_waited_for(workspace: Workspace) -> None:
    """Say once where an answer can be given, when a question to the host waits for one."""
    file = workspace.settings.engine.orders
    waiting = 0
    while True:
        await anyio.sleep(_LOOK_EVERY_S)
        if file is not None and await anyio.Path(file).exists():
            with suppress(OrdersFailed):  # who asks the host is told
                waiting = await workspace.engine.orders.open_count()
        if waiting:
            break
    waits = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
    click.echo(
        f"kiln-mcp: {waits} for the model 'host', which is you or a connected assistant. Take it "
        "in another shell with kiln-mcp take-work-orders, and answer with kiln-mcp "
        "answer-work-orders.",
        err=True,
    )


async def _show_progress(done: float, total: float | None, message: str | None) -> None:
    if sys.stderr.isatty():
        share = f"{done:g}/{total:g} " if total else f"{done:g} " if done >= 1 else ""
        click.echo(f"\r\x1b[K{share}{for_terminal(message or '')}", err=True, nl=False)
        if total and done >= total:
            click.echo("", err=True)


def main(find_daemon: FindDaemon = _find_none) -> None:
    """Run the command line; every failure is one sentence on stderr and an exit code.

    Args:
        find_daemon: How the daemon is found or started.
    """
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("KILN_MCP_LOG", "WARNING").upper())
    sys.exit(_guarded(lambda: cli.main(standalone_mode=False, obj=find_daemon)))


def _guarded(run: Callable[[], object]) -> int:
    """Run it and return the exit code."""
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - the outermost door
        return _explain(_innermost(error))
    return 0


def _innermost(error: BaseException) -> BaseException:
    """Return the error that a task group wrapped, where it wrapped one alone."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return _innermost(inner[0]) if len(inner) == 1 else cast("BaseException", error)


def _explain(error: BaseException) -> int:
    """Say what happened in a sentence and return the exit code for it."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case KeyboardInterrupt() | click.Abort():
            return _say("Stopped. What was finished is saved; run it again to go on.", INTERRUPTED)
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case ApprovalNeeded():
            return _say(
                f"{error.plan.text} Nothing has been done; add --yes to agree.", NOT_APPROVED
            )
        case InvalidArguments():
            return _say(str(error), USAGE)
        case WorkbenchError():
            code = SERVED_ALREADY if isinstance(error, AlreadyServing) else FAILED
            return _say(str(error), code)
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        case OSError():
            return _say(disk_sentence(error), FAILED)
        case _:
            _log.error("unforeseen", exc_info=error)
            return _say(f"An error that was not foreseen: {type(error).__name__}: {error}", FAILED)


def _say(sentence: str, code: int) -> int:
    click.echo(f"kiln-mcp: {for_terminal(sentence)}", err=True)
    return code
