"""The command by which a person labels outputs in a terminal.

Labels that a person gives at a terminal count as confirmed, as an answer to `kiln-mcp approve`
does. Without a terminal nobody confirms them.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import anyio
import anyio.to_thread
import click
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import open_own_workspace
from kiln_mcp.doors.cli.current_project import PROJECT, with_project
from kiln_mcp.doors.cli.label_lines import label_by_lines
from kiln_mcp.doors.cli.label_texts import ending
from kiln_mcp.doors.cli.terminal_output import print_note
from kiln_mcp.judging.batches import BatchRequest
from kiln_mcp.judging.golden_sets import evals_to_label
from kiln_mcp.judging.labelling_session import LabellingSession, open_session
from kiln_mcp.labels.ledger import Purpose
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from kiln_mcp.workbench.workspace import Workspace
from storage.records.record import login_name

_PURPOSES: Final[Mapping[str, Purpose]] = {
    "development": "development",
    "certificate": "certificate",
    "repeat": "repeat",
    "second-look": "second_look",
    "review": "review",
}
"""The purposes, as the option names them."""


@click.command()
@click.argument("evals", nargs=-1, metavar="[EVAL]...")
@click.option("--project", help="Its name or folder. [default: the project of the current folder]")
@click.option("--rater", help="Who labels. [default: your login name]")
@click.option(
    "--purpose",
    type=click.Choice(list(_PURPOSES)),
    default="development",
    show_default=True,
    help="development: to improve on. certificate: to prove a judge. second-look: labels in doubt. "
    "review: half by information.",
)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many items."
)
@click.option("--outputs", help="Add these to the golden set first: tag::prod, or all.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Repeats a random draw.")
@click.option("--plain", is_flag=True, help="Plain lines, for a screen reader.")
def label(  # noqa: PLR0913 - the options of the command
    evals: tuple[str, ...],
    project: str | None,
    rater: str | None,
    purpose: str,
    count: int,
    outputs: str | None,
    seed: int,
    *,
    plain: bool,
) -> None:
    """Label outputs one at a time: pass, fail, stars, with a reason if you like.

    Without an eval, all evals of the project that have a golden set are labelled in one reading.
    No verdict is shown. Each answer is saved at once, so quit whenever you like.
    """
    place = with_project({} if project is None else {PROJECT: project})[PROJECT]
    request = BatchRequest(
        evals=evals,
        count=count,
        seed=seed,
        purpose=_purpose_of(purpose),
        rater=" ".join((rater or "").split()) or login_name(),
        outputs=outputs,
    )
    anyio.run(_label, str(place), request, plain)


async def _label(project: str, request: BatchRequest, plain: bool) -> None:
    is_person = sys.stdin.isatty()
    async with open_own_workspace(Settings.from_environment(os.environ)) as workspace:
        store = await workspace.open_project(project)
        evals = await evals_to_label(store, request.evals)
        request = replace(request, evals=evals)
        session = await open_session(workspace, store, request, is_person=is_person)
        if is_person and request.purpose == "certificate":
            await anyio.to_thread.run_sync(_record_consent, workspace, project, session)
        notes, session.notes = " ".join(session.notes), []
        if plain or not _has_screen():
            print_note(notes)
            await label_by_lines(session, _read_line, _write)
        else:
            from kiln_mcp.doors.cli.label_screen import LabelScreen

            await LabelScreen(session, notes).run()
        print_note(ending(session, session.notes))
        if not is_person:
            print_note("No person was at a terminal, so nobody has confirmed these labels.")


def _record_consent(workspace: Workspace, project: str, session: LabellingSession) -> None:
    """Record that the person labels for a certificate, beside their other answers."""
    rater, names = session.request.rater, session.labelling.eval_names
    quoted_names = " and ".join(map(repr, names))
    plan = Plan(
        f"Label items of {quoted_names} for a certificate as {rater!r}, at a terminal.",
        certifies=True,
    )
    arguments: dict[str, JsonValue] = {"project": project, "eval": [*names], "rater": rater}
    call = ProposedCall("label_items", arguments, plan, "Label items", "the command line")
    ApprovalStore(workspace.settings.home).record(call, Door.TERMINAL)


def _purpose_of(word: str) -> Purpose:
    return _PURPOSES[word]


def _has_screen() -> bool:
    """Return whether the terminal can show a screen."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return is_terminal and os.environ.get("TERM", "") != "dumb"


def _read_line(prompt: str) -> str | None:
    click.echo(for_terminal(prompt), nl=False)
    sys.stdout.flush()
    return sys.stdin.readline() or None


def _write(text: str) -> None:
    click.echo(for_terminal(text))
