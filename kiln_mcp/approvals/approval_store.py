"""The record of approvals: one SQLite file of the home, shared by all its processes.

Every change is one transaction that reaches the disk before the act begins. A process that is
killed between using an approval and the act has used it up: an approval allows its act once at
most. The act's own journal tells what it had begun.

Nothing here is approved if the file cannot be read or written.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter

from kiln_mcp.approvals import approval_sql
from kiln_mcp.approvals.approval import (
    ActExpense,
    Approval,
    ApprovalState,
    Consumption,
    DailySpending,
    Door,
    ProposedCall,
)
from kiln_mcp.approvals.errors import ApprovalStoreFailure
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.approvals.policy import Policy
from storage.errors import Refusal
from storage.sqlite_files import open_shared
from storage.text.characters import repair_surrogates, repair_texts

VALID_S: Final = 24 * 3600.0
"""Seconds that a request waits for its answer and its use."""
MOST_WAITING: Final = 200
"""Requests that may wait at once; a person must be able to read them all."""
_ID_LENGTH: Final = 6
_LONGEST_NAME: Final = 200
"""Characters of a client's name that are kept."""
_ROUNDING_USD: Final = 1e-9
"""The rounding error of sums of costs."""
_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"
"""Letters and digits that are not mistaken for others."""
_PLAN: Final = TypeAdapter(Plan)
_ARGUMENTS: Final[TypeAdapter[dict[str, JsonValue]]] = TypeAdapter(dict[str, JsonValue])


class ApprovalStore:
    """Requests for approval, their answers and their use.

    It keeps no connection open; each operation is safe from any thread and process. Operations
    take milliseconds and wait for other writers, so call them outside the event loop.
    """

    def __init__(
        self,
        home: Path,
        clock: Callable[[], float] = time.time,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """Name the home.

        Args:
            home: The per-user home; the file is made in it when first used.
            clock: Seconds since 1970; days are those of the local time zone.
            most_waiting: Requests that may wait at once.
        """
        self.file = home / "approvals.sqlite"
        self._clock = clock
        self._most_waiting = most_waiting

    def request(self, call: ProposedCall) -> Approval:
        """Ask for a call's approval; return the open request if the same call has one already.

        A request is open while it waits, and while it is approved but not used.

        Raises:
            ApprovalStoreFailure: The record cannot be used.
            Refusal: Too many requests wait already.
        """
        with self._transaction() as sql:
            key = self._open_request(sql, call) or self._insert(sql, call, is_limited=True)
            return self._read(sql, key)

    def record(self, call: ProposedCall, door: Door, *, agrees: bool = True) -> Approval:
        """Record a question with its answer; an approval counts as used at once.

        It closes the open request of the same call, if there is one.

        Raises:
            ApprovalStoreFailure: The record cannot be used; the act must not begin.
        """
        state = ApprovalState.USED if agrees else ApprovalState.DECLINED
        with self._transaction() as sql:
            key = self._open_request(sql, call) or self._insert(sql, call)
            time_s = self._clock()
            answer = {
                "id": key,
                "state": state,
                "door": door,
                "client": _client_name(call),
                "now": time_s,
                "used_at": time_s if agrees else None,
            }
            sql.execute(approval_sql.ANSWER_NOW, answer)
            return self._read(sql, key)

    def record_allowance(
        self, call: ProposedCall, policy: Policy, effect: Effect
    ) -> Approval | None:
        """Approve a call from what is left of today's allowance; None if it does not fit.

        The plan's highest cost and calls are reserved until `settle` says what it took. Of
        several processes, each sees what the others reserved.

        Raises:
            ApprovalStoreFailure: The record cannot be used; the act must not begin.
        """
        plan = call.plan
        if not policy.allows(plan, effect) or plan.highest_cost_usd is None:
            return None
        with self._transaction() as sql:
            spent_usd, spent_calls = self._spending(sql)
            if (
                spent_usd + plan.highest_cost_usd > policy.daily_allowance.usd + _ROUNDING_USD
                or spent_calls + plan.calls > policy.daily_allowance.calls
            ):
                return None
            key = self._open_request(sql, call) or self._insert(sql, call)
            reservation = {
                "id": key,
                "now": self._clock(),
                "day": self._today(),
                "usd": plan.highest_cost_usd,
                "calls": plan.calls,
            }
            sql.execute(approval_sql.RESERVE, reservation)
            return self._read(sql, key)

    def settle(
        self, approval_id: str, cost_usd: float, calls: int, earlier: Sequence[str] = ()
    ) -> None:
        """Record the cost of an act, which replaces the reservation of the allowance.

        A reservation that is never settled counts in full for its day.

        Args:
            approval_id: The approval that allowed the act.
            cost_usd: Its cost, with failed calls that may have been charged.
            calls: Model calls that were sent.
            earlier: Approvals of the same act, whose settlements are subtracted.

        Raises:
            ApprovalStoreFailure: The record cannot be used.
        """
        with self._transaction() as sql:
            for other in earlier:
                [usd, count] = sql.execute(approval_sql.SETTLED, {"id": other}).fetchone() or (0, 0)
                cost_usd, calls = max(0.0, cost_usd - usd), max(0, calls - count)
            sql.execute(approval_sql.SETTLE, {"id": approval_id, "usd": cost_usd, "calls": calls})

    def used_approvals(self, tool: str, argument: str, value: str) -> list[str]:
        """Return used approvals of a tool whose argument ends in a value, oldest first, as ids."""
        values = {"tool": tool, "path": f"$.{argument}", "value": value}
        with self._transaction() as sql:
            return [str(row[0]) for row in sql.execute(approval_sql.USED_APPROVALS, values)]

    def spent_today(self) -> DailySpending:
        """Return the used part of today's allowance, reservations included."""
        with self._transaction() as sql:
            return DailySpending(*self._spending(sql))

    def find(self, approval_id: str) -> Approval | None:
        """Return the approval with this id in any state; None if there is none."""
        with self._transaction() as sql:
            row = sql.execute(approval_sql.FIND, {"id": approval_id}).fetchone()
            return None if row is None else self._approval(row)

    def waiting(self) -> list[Approval]:
        """Return the requests that wait for the person, oldest first."""
        with self._transaction() as sql:
            return self._list(sql.execute(approval_sql.WAITING, {"now": self._clock()}))

    def history(self, limit: int = 50) -> list[Approval]:
        """Return the latest requests in any state, newest first."""
        with self._transaction() as sql:
            return self._list(sql.execute(approval_sql.NEWEST, {"most": limit}))

    def approve(self, approval_id: str, door: Door) -> bool:
        """Record that the person agreed; False if the request does not wait any more."""
        return self._answer(approval_id, ApprovalState.APPROVED, door)

    def decline(self, approval_id: str, door: Door) -> bool:
        """Record that the person declined; False if the request does not wait any more."""
        return self._answer(approval_id, ApprovalState.DECLINED, door)

    def consume(self, approval_id: str, call: ProposedCall) -> Consumption:
        """Use an approval for the call that it was given for; only `CONSUMED` allows the act.

        If several calls use one approval at once, exactly one succeeds.

        Raises:
            ApprovalStoreFailure: The record cannot be used; the act must not begin.
        """
        with self._transaction() as sql:
            key = {"id": approval_id, "now": self._clock(), **_fingerprints(call)}
            if sql.execute(approval_sql.CONSUME, key).rowcount == 1:
                return Consumption.CONSUMED
            row = sql.execute(approval_sql.FIND, {"id": approval_id}).fetchone()
            return Consumption.UNKNOWN if row is None else _refusal(self._approval(row), call)

    def _answer(self, approval_id: str, state: ApprovalState, door: Door) -> bool:
        answer = {"id": approval_id, "state": state, "door": door, "now": self._clock()}
        with self._transaction() as sql:
            return sql.execute(approval_sql.ANSWER, answer).rowcount == 1

    def _open_request(self, sql: sqlite3.Connection, call: ProposedCall) -> str | None:
        row = sql.execute(
            approval_sql.OPEN, {"now": self._clock(), **_fingerprints(call)}
        ).fetchone()
        return None if row is None else str(row[0])

    def _insert(
        self, sql: sqlite3.Connection, call: ProposedCall, *, is_limited: bool = False
    ) -> str:
        time_s = self._clock()
        [waiting] = sql.execute(approval_sql.COUNT_WAITING, {"now": time_s}).fetchone()
        if is_limited and waiting >= self._most_waiting:
            raise Refusal(
                "Nothing has been done: {count} requests wait for the person already. They "
                "approve or decline them with kiln-mcp approve in a terminal.",
                count=waiting,
            )
        key = f"ap-{''.join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))}"
        row = {
            "id": key,
            "title": repair_surrogates(call.title),
            "arguments": json.dumps(repair_texts(call.arguments), ensure_ascii=False),
            "plan": json.dumps(repair_texts(asdict(call.plan)), ensure_ascii=False),
            "client": _client_name(call),
            "now": time_s,
            "expires_at": time_s + VALID_S,
            **_fingerprints(call),
        }
        sql.execute(approval_sql.INSERT, row)
        return key

    def _read(self, sql: sqlite3.Connection, approval_id: str) -> Approval:
        return self._approval(sql.execute(approval_sql.FIND, {"id": approval_id}).fetchone())

    def _list(self, rows: Iterable[sqlite3.Row]) -> list[Approval]:
        return [self._approval(row) for row in rows]

    def _approval(self, row: sqlite3.Row) -> Approval:
        state = ApprovalState(row["state"])
        is_open = state in {ApprovalState.WAITING, ApprovalState.APPROVED}
        if is_open and row["expires_at"] <= self._clock():
            state = ApprovalState.EXPIRED
        call = ProposedCall(
            tool=row["tool"],
            arguments=_ARGUMENTS.validate_json(row["arguments"]),
            plan=_PLAN.validate_json(row["plan"]),
            title=row["title"],
            client=row["client"],
        )
        return Approval(
            id=row["id"],
            call=call,
            state=state,
            door=None if row["door"] is None else Door(row["door"]),
            asked_at=row["asked_at"],
            answered_at=row["answered_at"],
            used_at=row["used_at"],
            expense=None
            if row["actual_usd"] is None
            else ActExpense(row["actual_usd"], row["actual_calls"]),
        )

    def _spending(self, sql: sqlite3.Connection) -> tuple[float, int]:
        usd, calls = sql.execute(approval_sql.RESERVED, {"day": self._today()}).fetchone()
        return float(usd), int(calls)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock()).astimezone().date().isoformat()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Hold the file for one transaction; a failure changes nothing."""
        try:
            with closing(open_shared(self.file)) as sql:
                sql.row_factory = sqlite3.Row
                sql.execute("PRAGMA synchronous = FULL")  # an approval that is used stays used
                sql.executescript(approval_sql.SCHEMA)
                sql.execute("BEGIN IMMEDIATE")
                yield sql
                sql.execute("COMMIT")
        except (sqlite3.Error, OSError, ValueError) as error:
            raise ApprovalStoreFailure(self.file, error) from error


def _client_name(call: ProposedCall) -> str:
    return repair_surrogates(call.client)[:_LONGEST_NAME]


def _fingerprints(call: ProposedCall) -> dict[str, str]:
    return {
        "tool": call.tool,
        "arguments_fingerprint": call.arguments_fingerprint,
        "plan_fingerprint": call.plan.fingerprint,
    }


def _refusal(approval: Approval, call: ProposedCall) -> Consumption:
    """Return the reason why an approval does not allow a call."""
    if approval.state is not ApprovalState.APPROVED:
        return Consumption(approval.state.value)
    same_call = (approval.call.tool, approval.call.arguments_fingerprint) == (
        call.tool,
        call.arguments_fingerprint,
    )
    return Consumption.OTHER_PLAN if same_call else Consumption.OTHER_CALL
