"""Call a capability from the command line, and print its answer."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.errors import ApprovalNeeded
from kiln_mcp.capability import AnyCapability, Effect
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.cli.as_job import do_as_job
from kiln_mcp.cli.failures import innermost
from kiln_mcp.llm.errors import OrdersFailed
from kiln_mcp.rendering import for_terminal, plain, render
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import Workspace

_LOOK_EVERY_S = 1.0

_JOBS_WANTED: Final = frozenset({"start_job", "resume_job", "wait_for_job"})
"""Capabilities after which somebody is to do jobs."""

_SHORT: Final = _JOBS_WANTED | {"test_model"}
"""Capabilities that ask models, and are done by the process of the command all the same."""

FindDaemon = Callable[[], str | None]
"""Finds or starts the daemon; returns why there is none, where there is none."""


def find_none() -> str | None:
    """Find no daemon: nobody has said how."""
    return "no daemon is known here."


def call(item: AnyCapability, *, as_json: bool, **options: JsonValue | tuple[str, ...]) -> None:
    """Call a capability and print its answer; ask the person where it asks first."""
    arguments: dict[str, JsonValue] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    find_daemon: FindDaemon = click.get_current_context().obj or find_none
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
    alone = settings.shared_database_url is None
    is_long = alone and item.effect is Effect.SPENDS and item.name not in _SHORT
    nobody = None
    if is_long or (alone and item.name in _JOBS_WANTED):
        nobody = await anyio.to_thread.run_sync(find_daemon)
    if nobody is not None and not is_long:  # which this command then does itself
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
                if is_long and nobody is None:
                    answer = await do_as_job(heard, item.name, arguments)
                else:
                    answer = plain(await item.invoke(heard, arguments))
                beside.cancel_scope.cancel()
        except BaseExceptionGroup as error:
            raise innermost(error) from error
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
