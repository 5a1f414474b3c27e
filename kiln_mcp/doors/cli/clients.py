"""The commands that connect clients: install, uninstall, doctor."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import anyio
import click

from kiln_mcp.doors.cli.failures import FAILED
from kiln_mcp.doors.cli.terminal_output import print_note
from kiln_mcp.doors.clients.client_files import ClientFile, client_files, find_client
from kiln_mcp.doors.clients.handshake import shake_hands
from kiln_mcp.doors.clients.health import Finding, Health, examine
from kiln_mcp.doors.clients.registration import (
    lasting_settings,
    own_launch,
    plan_entry,
    plan_removal,
)
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from storage.errors import WorkbenchError


def _client(name: str) -> ClientFile:
    return find_client(client_files(Path.home(), os.environ, sys.platform), name)


@click.command()
@click.argument("client")
@click.option("--dry-run", is_flag=True, help="Show the change of the file, and change nothing.")
@click.option(
    "--env",
    "keys",
    multiple=True,
    metavar="NAME",
    help="A variable that the client passes on, such as OPENAI_API_KEY; its value is not written.",
)
def install(client: str, dry_run: bool, keys: tuple[str, ...]) -> None:
    """Register this server in a client's list of MCP servers, and check that it answers.

    CLIENT is claude-desktop, claude-code, vscode, cursor, zed, codex, gemini, opencode or windsurf.
    Only our own entry changes in its file; a copy of the file as it was is kept beside it.
    """
    file = _client(client)
    launch = own_launch(lasting_settings(os.environ), keys)
    change = plan_entry(file, launch)
    if dry_run:
        click.echo(for_terminal(change.difference()) or f"{file.path} needs no change.", nl=True)
        return
    backup = change.write() if change.is_needed else None
    if backup is not None:
        print_note(f"{change.path.name} as it was is kept as {backup}")
    try:
        handshake = anyio.run(shake_hands, launch)
    except WorkbenchError:
        change.restore()
        raise
    state = "is registered" if change.is_needed else "was registered already"
    click.echo(
        for_terminal(
            f"The server {state} in {file.title} ({change.path}) and answers: {handshake.tools} "
            f"tools after {handshake.seconds:.1f} s. {file.restart}"
        )
    )
    if keys and not file.reference:
        print_note(
            f"{file.title} cannot pass variables on by name. Keep each key in the system's "
            f"keyring instead: keyring set kiln-mcp {keys[0]}"
        )


@click.command()
@click.argument("client")
@click.option("--dry-run", is_flag=True, help="Show the change of the file, and change nothing.")
def uninstall(client: str, dry_run: bool) -> None:
    """Remove this server from a client's list of MCP servers; nothing else changes there."""
    file = _client(client)
    change = plan_removal(file)
    if not change.is_needed:
        click.echo(for_terminal(f"The server is not registered in {file.title} ({file.path})."))
        return
    if dry_run:
        click.echo(for_terminal(change.difference()))
        return
    backup = change.write()
    print_note(f"{change.path.name} as it was is kept as {backup}")
    click.echo(f"The server is removed from {file.title}. Start it again if it runs.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def doctor(as_json: bool) -> None:
    """Look at all that a session needs, and say what is wrong and what to do.

    The exit code is 1 if something that is needed is broken.
    """
    findings = anyio.run(examine, Settings.from_environment(os.environ), dict(os.environ))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(for_terminal(_line(finding)))
    if any(finding.health is Health.BROKEN for finding in findings):
        sys.exit(FAILED)


def _line(finding: Finding) -> str:
    remedy = f"\n{'':27}→ {finding.remedy}" if finding.remedy else ""
    return f"{finding.part:16}{finding.health:11}{finding.text}{remedy}"
