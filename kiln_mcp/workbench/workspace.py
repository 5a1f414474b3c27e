"""What a capability works with: open projects, the model engine, progress, approval."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol, Self

import anyio
import anyio.from_thread
import anyio.to_thread

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.decision import (
    Consent,
    Decision,
    PendingApproval,
    Person,
    Rejection,
    decide,
)
from kiln_mcp.approvals.errors import ApprovalStoreFailure, MissingApproval, rejection_error
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.approvals.policy import read_policy
from kiln_mcp.errors import UnknownCapability, UnusablePath
from kiln_mcp.jobs import Job, JobClient, JsonObject
from kiln_mcp.llm import Engine, Message
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.folder_trust import Trust
from kiln_mcp.workbench.known_projects import KnownProjects, Reference
from kiln_mcp.workbench.needs import NeedsOf, nothing_needed
from kiln_mcp.workbench.progress import STILL_THERE, ProgressReport, Relay, report_nothing
from storage import ProjectStore, new_id
from storage.atomic_write import check_room, disk_errors
from storage.records.record import login_name

RESUME: Final = "resume_job"
"""The capability whose approvals allow a job more than was agreed to at its beginning."""
_SMALLEST_PROGRESS: Final = 1e-9
"""The progress of one record that is read; the progress of the call itself is larger."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""The pause between two tries to claim work grows from the first to the second."""
BYTES_A_CALL: Final = 16_384
"""The room that an answer takes on a disk: its cached row and the files of its result."""


class Sampler(Protocol):
    """The model of a client that lets servers ask it."""

    async def sample(self, messages: tuple[Message, ...]) -> str | None:
        """Return the model's answer; None if the client or its person declined."""
        ...


CarryOut = Callable[["Workspace", Job], Awaitable[JsonObject]]
"""Carries out the capability of a job."""


EstimatePlan = Callable[["Workspace", str, JsonObject], Awaitable[Plan | None]]
"""Returns the plan of a capability that asks models, by its name and arguments, without carrying it
out; None for one that asks none."""


async def estimate_nothing(workspace: "Workspace", tool: str, arguments: JsonObject) -> Plan | None:
    """Estimate nothing: no capability is known."""
    return None


async def carry_out_nothing(workspace: "Workspace", job: Job) -> JsonObject:
    """Refuse every job: no capability is known."""
    raise UnknownCapability(job.capability, [])


@dataclass(frozen=True, slots=True)
class Workspace:
    """The context of a call: shared by all calls but for its progress and approval.

    Attributes:
        settings: What the person set.
        engine: The one way to ask a model anything.
        projects: The projects that this person has opened.
        report: Where progress goes.
        person: How this call's person is reached; None if its door cannot ask.
        sampler: The model of the client that calls; None if servers cannot ask it.
        job_client: Submits jobs and asks about them.
        client: The id of the client that calls, the same for all its calls; empty if unknown.
        caller: The name of the caller for people: the client's own name, or the door.
        assistant: The client whose model calls; empty if the person calls by themselves.
        takes_orders: Whether a model reads the answer, and so may get work orders with it.
        job: The id of the job that this call is an attempt of; empty outside of jobs.
        answer_tokens: The most tokens of the call's answer; None for any number.
        is_detailed: Whether the caller asked for all details.
        estimate: Plans a call without carrying it out.
        needs_of: Returns what a capability needs, for next steps.
    """

    settings: Settings
    engine: Engine
    projects: KnownProjects
    report: ProgressReport = report_nothing
    person: Person | None = None
    sampler: Sampler | None = None
    job_client: JobClient | None = None
    client: str = ""
    caller: str = "Python"
    assistant: str = ""
    takes_orders: bool = False
    job: str = ""
    answer_tokens: int | None = None
    is_detailed: bool = False
    estimate: EstimatePlan = estimate_nothing
    needs_of: NeedsOf = nothing_needed

    def with_progress(self, report: ProgressReport) -> Self:
        """Return the same workspace with progress going to `report`, waits of models included."""
        relay = Relay(report, STILL_THERE)
        engine = self.engine.with_listener(relay.say, relay.gauge)
        return replace(self, report=relay.report, engine=engine)

    def with_model(self, name: str) -> Self:
        """Return the same workspace with another default model."""
        engine = replace(self.settings.engine, default_model=name)
        return replace(self, settings=replace(self.settings, engine=engine))

    @property
    def author(self) -> str:
        """Who a record names as its author: the person, and the assistant that passed it on."""
        person = login_name()
        return f"{person}, passed on by {self.assistant}" if self.assistant else person

    @property
    def trust(self) -> Trust:
        """The folders whose programs may be run."""
        return Trust(self.settings.home)

    def place(self, path: str) -> Path:
        """Return the absolute path that a person or an assistant means, without "..".

        Links stay: a ".." after one leads to its parent, as in a shell.

        Raises:
            UnusablePath: It is no path, or it is relative and there is no folder to begin in.
        """
        if "\0" in path or not path.strip():
            raise UnusablePath(path, "is no path")
        try:
            place = Path(path).expanduser()
        except RuntimeError as error:
            raise UnusablePath(path, "names a user that does not exist") from error
        if not place.is_absolute() and self.settings.started_in is None:
            raise UnusablePath(path, "is relative, and this server has no folder of yours")
        place = (self.settings.started_in or Path("/")) / place
        return Path(os.path.abspath(place))  # noqa: PTH100 - links stay

    async def open_project(self, reference: str) -> ProjectStore:
        """Open a project by the path of its folder or by its name.

        Raises:
            UnknownProject: Neither a folder nor a name of the list, or a name of several projects.
            storage.StorageError: The folder cannot be opened as a project.
        """
        folder = await self.project_folder(reference)
        store = await self.projects.open(folder, self.settings.home)
        if not store.is_indexed:
            await store.refresh(self._index_progress(store))
        return store

    async def project_folder(self, reference: str) -> Path:
        """Return the folder of a project that is named or pointed at.

        Raises:
            UnknownProject: Neither a folder nor a name of the list, or a name of several projects.
        """
        try:
            path = self.place(reference)
        except UnusablePath:
            path = None
        return await anyio.to_thread.run_sync(self.projects.find, Reference(reference, path))

    def _index_progress(self, store: ProjectStore) -> Callable[[int], None]:
        """Return a function that reports the first reading of a project, which may take long."""

        async def report(records: int) -> None:
            message = f"Looking at the files of '{store.project.name}': {records} records so far."
            await self.report(records * _SMALLEST_PROGRESS, None, message)

        def report_from_thread(records: int) -> None:
            anyio.from_thread.run(report, records)

        return report_from_thread

    def model_name(self, name: str | None) -> str:
        """Return the name of a model, or that of the default model for None."""
        return name or self.settings.default_model

    async def check_ready(self, store: ProjectStore, calls: Mapping[str, int]) -> None:
        """Refuse work whose answers a model could not give, or a disk could not keep.

        Nothing has been paid for then.

        Args:
            store: The project that results are saved in.
            calls: The number of calls by model.

        Raises:
            ModelError: A model cannot answer.
            storage.errors.WriteError: The project or the home is read-only, or has no space.
        """
        await self.engine.check_ready(calls)
        await self.check_room(store, sum(calls.values()))

    async def check_room(self, store: ProjectStore, calls: int) -> None:
        """Refuse work whose answers the project or the home could not keep.

        Raises:
            storage.errors.WriteError: The project or the home is read-only, or has no space.
        """
        if calls:
            await store.check_room(calls * BYTES_A_CALL)
            await anyio.to_thread.run_sync(_check_home, self.settings.home, calls * BYTES_A_CALL)

    @asynccontextmanager
    async def turn(self, store: ProjectStore, work: str) -> AsyncGenerator[None]:
        """Wait until no other call or process, of any home, does the same work in a project.

        The caller reads the records that it starts from again then.

        Args:
            store: The project.
            work: The name of the work, the same for all callers.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            async with store.claims([work]) as claims:
                if claims:
                    yield
                    return
            await self.report(0, None, "Another call or program does the same: it goes first.")
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def id_for(self, purpose: str) -> str:
        """Return an id for a new record, the same for all attempts at a job.

        So an attempt after a kill finds the record instead of making a second one.

        Args:
            purpose: Which record it is of those that one call makes.
        """
        if not self.job:
            return new_id()
        digest = blake2b(f"{self.job} {purpose}".encode(), digest_size=8).digest()
        return f"{int.from_bytes(digest) % 10**12:012}"

    async def decide(
        self, call: ProposedCall, effect: Effect, approval_id: str | None = None
    ) -> Decision:
        """Decide whether a proposed call may be carried out, and record who approved it.

        Args:
            call: The call with its plan.
            effect: The effect of the capability.
            approval_id: The approval that the caller names.

        Raises:
            ApprovalStoreFailure: The record of approvals cannot be used.
        """
        if effect is Effect.READS and not call.plan.needs_approval:
            return Consent()
        home = self.settings.home
        policy = await anyio.to_thread.run_sync(read_policy, home)
        call = replace(call, client=self.caller)
        return await decide(ApprovalStore(home), policy, call, effect, self.person, approval_id)

    async def settle(self, approval_id: str, account: str, earlier: Sequence[str] = ()) -> None:
        """Settle an approval's reservation with its real cost, if all prices are known.

        Otherwise, or if nothing was sent, the reservation counts in full.

        Args:
            approval_id: The approval that allowed the work.
            account: The name of the budget that its calls were made under.
            earlier: Approvals that have paid for a part of it.
        """
        with suppress(ApprovalStoreFailure, DatabaseFailure):
            entries = await self.engine.spending(f"{account}/*")
            lost_calls = await self.engine.unanswered_expense(account)
            if any(entry.unpriced_calls for entry in entries):
                return
            cost = sum(entry.usage.cost_usd or 0.0 for entry in entries) + lost_calls.cost_usd
            calls = sum(entry.usage.calls for entry in entries) + lost_calls.calls
            if calls:
                store = ApprovalStore(self.settings.home)
                work = partial(store.settle, approval_id, cost, calls, earlier)
                await anyio.to_thread.run_sync(work)

    async def approve(self, call: ProposedCall, effect: Effect) -> None:
        """Return if a call may be carried out: for callers in Python.

        Raises:
            MissingApproval: The person must be asked first.
            WorkbenchError: The person declined.
        """
        match await self.decide(call, effect):
            case Consent():
                return
            case Rejection():
                raise rejection_error(call.plan)
            case PendingApproval(approval_id):
                raise MissingApproval(call.plan, approval_id)
            case _:
                raise MissingApproval(call.plan)


def _check_home(home: Path, size: int) -> None:
    with disk_errors(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_room(home, size)


async def settle_reservation(workspace: Workspace, job: Job) -> None:
    """Settle the reservation of a job, so that an allowance gets the rest back.

    A job that was resumed is settled again: the newest approval of its limits pays what the earlier
    ones have not paid.
    """
    first = job.approved_plan.approval_id if job.approved_plan else ""
    with suppress(ApprovalStoreFailure):
        store = ApprovalStore(workspace.settings.home)
        later = await anyio.to_thread.run_sync(store.used_approvals, RESUME, "job", job.id)
        approvals = [first, *later] if first else later
        if approvals:
            await workspace.settle(approvals[-1], f"jobs/{job.id}", approvals[:-1])
