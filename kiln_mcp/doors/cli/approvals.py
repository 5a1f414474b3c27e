"""Approval in a terminal: answer waiting requests, and set the daily allowance.

Only a terminal answers. Texts of requests may come from a hostile project or model, so each is
shown shortened on one line, without characters that move the cursor.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import click
from pydantic import JsonValue

from kiln_mcp.approvals.approval import Approval, ApprovalState, Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Consequence, Plan
from kiln_mcp.approvals.policy import (
    ALWAYS_ASKED,
    DailyAllowance,
    Policy,
    policy_file,
    read_policy,
    write_policy,
)
from kiln_mcp.doors.cli.terminal_output import one_line, require_terminal
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import for_terminal
from storage.errors import Refusal

LONGEST_SUMMARY: Final = 600
_HISTORY: Final = 50
_QUESTION: Final = "y: approve, n: decline, s: leave it waiting, q: leave all"

Ask = Callable[[str], str]
"""Asks the person on the terminal; returns one of y, n, s and q."""


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="Show what waits, and ask nothing.")
@click.option(
    "--history", "--all", "history", is_flag=True, help=f"Show the last {_HISTORY} requests."
)
def approve(ids: tuple[str, ...], *, only_list: bool, history: bool) -> None:
    """Approve or decline the requests that wait for you: all of them, or the given IDs.

    An assistant whose client cannot ask you leaves its plan here. It needs a terminal: nobody
    else can answer for you.
    """
    settings = Settings.from_environment(os.environ)
    store = ApprovalStore(settings.home)
    if history:
        _print(describe_history(store.history(_HISTORY)))
        return
    requests = requests_of(store, ids)
    if only_list:
        _print("\n\n".join(map(describe_request, requests)) or "Nothing waits for you.")
        return
    require_terminal("approve")
    if not requests:
        _print("Nothing waits for you.")
    for line in answer_requests(store, requests, _ask):
        _print(line)


@click.command()
@click.option("--daily-usd", type=click.FloatRange(min=0), help="US dollars a day.")
@click.option("--daily-calls", type=click.IntRange(min=0), help="Model calls a day.")
@click.option(
    "--never-without-me",
    "exclusions",
    type=click.Choice([consequence.value for consequence in Consequence]),
    multiple=True,
    help="Ask about this even within the allowance; may be repeated, and replaces the earlier "
    "choice. What destroys or sends data is always asked about.",
)
def allow(daily_usd: float | None, daily_calls: int | None, exclusions: tuple[str, ...]) -> None:
    """Show or set the daily allowance: what may be spent without a question to you.

    An allowance needs both money and calls. It covers plans that only spend, at a known price.
    Setting it needs a terminal; no tool of an assistant can.
    """
    home = Settings.from_environment(os.environ).home
    policy = read_policy(home)
    if daily_usd is None and daily_calls is None and not exclusions:
        _print(describe_policy(policy, ApprovalStore(home)))
        return
    new_policy = change_policy(policy, daily_usd, daily_calls, exclusions)
    require_terminal("allow")
    _print(describe_policy(new_policy))
    click.confirm(f"Write this to {for_terminal(str(policy_file(home)))}?", abort=True, err=True)
    write_policy(home, new_policy)
    _print("Saved. It holds from the next call on.")


def requests_of(store: ApprovalStore, ids: Sequence[str]) -> list[Approval]:
    """Return the requests with these ids, or all waiting ones without an id.

    Raises:
        Refusal: An id names no request that waits.
    """
    if not ids:
        return store.waiting()
    return [_waiting_request(store, id_.strip().casefold()) for id_ in dict.fromkeys(ids)]


def answer_requests(store: ApprovalStore, requests: Sequence[Approval], ask: Ask) -> list[str]:
    """Show each request, ask about it and record the answer; return a line for each."""
    lines: list[str] = []
    for request in requests:
        answer = ask(f"{describe_request(request)}\n{_QUESTION}")
        if answer == "q":
            break
        if answer == "y":
            is_recorded = store.approve(request.id, Door.TERMINAL)
            lines.append(
                _outcome(
                    request, "approved; tell your assistant to continue", is_recorded=is_recorded
                )
            )
        elif answer == "n":
            is_recorded = store.decline(request.id, Door.TERMINAL)
            lines.append(_outcome(request, "declined", is_recorded=is_recorded))
    return lines


def describe_request(approval: Approval) -> str:
    """Return the description of a request for a person, each part on its own line."""
    call, plan = approval.call, approval.plan
    title = f" ({one_line(call.title)})" if call.title else ""
    origin = f"asked {_moment(approval.asked_at)}{_client(call)}"
    lines = [
        f"{approval.id}  {one_line(call.tool)}{title}, {origin}",
        f"  Plan: {one_line(plan.text, LONGEST_SUMMARY)}",
        *(f"  {fact}" for fact in _facts(plan)),
        *(f"  {one_line(name)}: {_value(value)}" for name, value in call.arguments.items()),
        *(f"  | {for_terminal(line)}" for line in plan.code.splitlines()),
    ]
    return "\n".join(lines)


def describe_history(approvals: Sequence[Approval]) -> str:
    """Return one line for each request: time, state, door, plan, and what was spent."""
    lines = [
        f"{approval.id}  {_moment(approval.asked_at)}  {approval.state.value}"
        f"{f' by {approval.door.value}' if approval.door else ''}  "
        f"{one_line(approval.call.tool)}{_client(approval.call)}: {one_line(approval.plan.text)}"
        f"{_expense(approval)}"
        for approval in approvals
    ]
    return "\n".join(lines) or "Nothing has been asked yet."


def describe_policy(policy: Policy, store: ApprovalStore | None = None) -> str:
    """Return the policy in words, with today's use if a store is given."""
    lines = [policy.damage] if policy.damage else []
    lines.append(
        f"Without a question: ${policy.daily_allowance.usd:.2f} and "
        f"{policy.daily_allowance.calls} model calls a day."
    )
    if store is not None:
        usage = store.spent_today()
        lines.append(f"Used today: ${usage.cost_usd:.4f} and {usage.calls} model calls.")
    consequences = ", ".join(sorted(policy.never_without_me))
    return "\n".join([*lines, f"Never without you: what {consequences}."])


def change_policy(
    policy: Policy, daily_usd: float | None, daily_calls: int | None, exclusions: Sequence[str]
) -> Policy:
    """Return a policy with the given values replaced.

    Raises:
        Refusal: The allowance is not finite, or has money without calls.
    """
    usd = policy.daily_allowance.usd if daily_usd is None else daily_usd
    calls = policy.daily_allowance.calls if daily_calls is None else daily_calls
    if not math.isfinite(usd) or (usd > 0) != (calls > 0):
        raise Refusal(
            "An allowance needs both money and calls. Give --daily-usd and --daily-calls, or 0 "
            "for both."
        )
    consequences = frozenset(map(Consequence, exclusions)) | ALWAYS_ASKED
    return replace(
        policy,
        daily_allowance=DailyAllowance(usd, calls),
        never_without_me=consequences if exclusions else policy.never_without_me,
        damage="",
    )


def _waiting_request(store: ApprovalStore, approval_id: str) -> Approval:
    approval = store.find(approval_id)
    if approval is not None and approval.state is ApprovalState.WAITING:
        return approval
    if approval is None:
        raise Refusal(
            "There is no request {request}. kiln-mcp approve --list shows the waiting requests.",
            request=approval_id,
        )
    raise Refusal(
        "{request} does not wait for you: it is {state}. kiln-mcp approve --list shows the "
        "waiting requests.",
        request=approval_id,
        state=approval.state.value,
    )


def _outcome(request: Approval, outcome: str, *, is_recorded: bool) -> str:
    if is_recorded:
        return f"{request.id} is {outcome}."
    return f"{request.id} is not waiting: it was answered elsewhere or has expired."


def _facts(plan: Plan) -> list[str]:
    """Return the most important facts of a plan as sentences."""
    facts = {
        "It adds code that runs on this machine; all of it stands below.": bool(plan.code),
        "It cannot be undone.": plan.irreversible,
        "It touches more than was named.": plan.far_reaching,
        f"It sends data to {one_line(plan.destination)}.": bool(plan.destination),
        "Its labels count for a certificate, in their rater's name.": plan.certifies,
        "Its price is not known.": plan.highest_cost_usd is None,
    }
    return [fact for fact, holds in facts.items() if holds]


def _expense(approval: Approval) -> str:
    """Return what a used approval really cost; nothing for an act that asks no model."""
    if approval.state is not ApprovalState.USED or not approval.plan.calls:
        return ""
    if approval.expense is None:
        return " Spent: not known (it goes on, no call was sent, or a price is missing)."
    count = approval.expense.calls
    calls = "1 call" if count == 1 else f"{count} calls"
    return f" Spent: ${approval.expense.cost_usd:.4f} for {calls}."


def _client(call: ProposedCall) -> str:
    return f" by {one_line(call.client)}" if call.client else ""


def _value(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text)


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def _ask(question: str) -> str:
    click.echo(f"\n{question}", err=True)
    choice = click.Choice(["y", "n", "s", "q"], case_sensitive=False)
    return str(click.prompt("Your answer", type=choice, default="s", err=True))


def _print(text: str) -> None:
    click.echo(for_terminal(text))
