"""What a capability works with: open projects, the model engine, progress, approval."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

import anyio
import anyio.from_thread
import anyio.to_thread

from kiln_mcp.approvals.decision import (
    Consent,
    Decision,
    PendingApproval,
    Person,
    Rejection,
    decide,
)
from kiln_mcp.approvals.errors import ApprovalStoreFailure, MissingApproval, rejection_error
from kiln_mcp.approvals.plan import Effect
from kiln_mcp.approvals.policy import read_policy
from kiln_mcp.approvals.records import ProposedCall
from kiln_mcp.approvals.store import ApprovalStore
from kiln_mcp.errors import UnknownCapability, UnusablePath
from kiln_mcp.jobs import Job, JobDesk, JsonObject
from kiln_mcp.llm import Engine
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects, Reference
from kiln_mcp.workbench.progress import STILL_THERE, ProgressReport, Relay, report_nothing
from kiln_mcp.workbench.trust import Trust
from storage import ProjectStore, new_id
from storage.files import check_room, disk_errors
from storage.records.record import login_name

RESUME: Final = "resume_job"
"""The capability whose approvals allow a job more than was agreed to at its beginning."""
_BEFORE_ALL_ELSE: Final = 1e-9
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Between two looks at whether others are done with what they have claimed."""
BYTES_A_CALL: Final = 16_384
"""What an answer takes on a disk: its row in the journal, and the files of its result."""


CarryOut = Callable[["Workspace", Job], Awaitable[JsonObject]]
"""Carries out what a job was begun for."""


async def carry_out_nothing(workspace: "Workspace", job: Job) -> JsonObject:
    """Know no capability."""
    raise UnknownCapability(job.capability, [])


@dataclass(frozen=True, slots=True)
class Workspace:
    """The context of a call: shared by all calls but for its progress and approval.

    Attributes:
        settings: What the person set.
        engine: The one way to ask a model anything.
        known: The projects that this person has opened.
        report: Where progress goes.
        person: How this call's person is reached; None if its door cannot ask.
        desk: Where jobs are handed in.
        client: Who calls, so that it is known again; empty where nobody can tell.
        caller: Who calls, as a person reads it: the client's own name, or the door.
        assistant: The client whose model calls; empty if the person calls by themselves.
        job: The id of the job that this call is an attempt of; empty outside of jobs.
    """

    settings: Settings
    engine: Engine
    known: KnownProjects
    report: ProgressReport = report_nothing
    person: Person | None = None
    desk: JobDesk | None = None
    client: str = ""
    caller: str = "Python"
    assistant: str = ""
    job: str = ""

    def with_progress(self, report: ProgressReport) -> Self:
        """Return the same workspace with progress going to `report`, waits of models included."""
        relay = Relay(report, STILL_THERE)
        return replace(self, report=relay.report, engine=self.engine.with_listener(relay.say))

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
        """Return the absolute path that a person or an assistant means.

        Raises:
            UnusablePath: It is relative, and nobody knows to which folder; or it is no path.
        """
        if "\0" in path or not path.strip():
            raise UnusablePath(path, "is none")
        try:
            meant = Path(path).expanduser()
        except RuntimeError as error:
            raise UnusablePath(path, "names a user that is not known") from error
        if not meant.is_absolute() and self.settings.started_in is None:
            raise UnusablePath(path, "is relative, and this server has no folder of yours")
        return (self.settings.started_in or Path("/")) / meant

    async def open_project(self, reference: str) -> ProjectStore:
        """Open a project by the path of its folder or by the name it is known by.

        Raises:
            UnknownProject: Neither a folder nor a known name, or a name of several projects.
            storage.StorageError: The folder cannot be opened as a project.
        """
        folder = await self.project_folder(reference)
        store = await self.known.open(folder, self.settings.home)
        if not store.is_indexed:
            await store.refresh(self._looking_at(store))
        return store

    async def project_folder(self, reference: str) -> Path:
        """Return the folder of a project that is named or pointed at.

        Raises:
            UnknownProject: Neither a folder nor a known name, or a name of several projects.
        """
        try:
            path = self.place(reference)
        except UnusablePath:
            path = None
        return await anyio.to_thread.run_sync(self.known.find, Reference(reference, path))

    def _looking_at(self, store: ProjectStore) -> Callable[[int], None]:
        """Return what reports the first look at a project, which may take long."""

        async def tell(records: int) -> None:
            said = f"Looking at the files of '{store.project.name}': {records} records so far."
            await self.report(records * _BEFORE_ALL_ELSE, None, said)

        def heard(records: int) -> None:
            anyio.from_thread.run(tell, records)

        return heard

    def model_name(self, chosen: str | None) -> str:
        """Return the model that was named, or the default one."""
        return chosen or self.settings.default_model

    async def check_ready(self, store: ProjectStore, calls: Mapping[str, int]) -> None:
        """Refuse before anything is paid for whose answers could not be had, or not be kept.

        Args:
            store: The project that results are saved in.
            calls: How often each model is to be asked.

        Raises:
            ModelError: What keeps a model from answering.
            storage.errors.WriteError: The project or the home is read-only, or has no space.
        """
        await self.engine.check_ready(calls)
        await self.check_room(store, sum(calls.values()))

    async def check_room(self, store: ProjectStore, calls: int) -> None:
        """Refuse what so many calls give if project or home could not keep it.

        Raises:
            storage.errors.WriteError: The project or the home is read-only, or has no space.
        """
        if calls:
            await store.check_room(calls * BYTES_A_CALL)
            await anyio.to_thread.run_sync(_check_home, self.settings.home, calls * BYTES_A_CALL)

    @asynccontextmanager
    async def turn(self, store: ProjectStore, work: str) -> AsyncGenerator[None]:
        """Wait until no other call or process, of whatever home, does some work of a project.

        What the work starts from is to be read again then.

        Args:
            store: The project.
            work: The same text for all who do it.
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
        """Return an id for a new record: the same for all attempts at a job, so made once.

        Args:
            purpose: What the record is, of those that one call makes.
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
        named = replace(call, client=self.caller)
        return await decide(ApprovalStore(home), policy, named, effect, self.person, approval_id)

    async def settle(self, approval_id: str, account: str, earlier: Sequence[str] = ()) -> None:
        """Tell the record of approvals what an approved act spent, if all its prices are known.

        Without that, or if nothing was sent, what was reserved counts in full.

        Args:
            approval_id: The approval that allowed the act.
            account: The name of the budget that its calls were made under.
            earlier: Approvals that have paid for a part of it.
        """
        with suppress(ApprovalStoreFailure, DatabaseFailure):
            spent = await self.engine.spending(f"{account}/*")
            lost = await self.engine.unanswered_expense(account)
            if any(entry.unpriced_calls for entry in spent):
                return
            cost = sum(entry.usage.cost_usd or 0.0 for entry in spent) + lost.cost_usd
            calls = sum(entry.usage.calls for entry in spent) + lost.calls
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
    """Tell the record of approvals what a job has spent, so that an allowance gets the rest back.

    A job that is gone on with is settled again: the newest approval of its limits pays for what
    the earlier ones have not.
    """
    first = job.agreement.approval_id if job.agreement else ""
    with suppress(ApprovalStoreFailure):
        store = ApprovalStore(workspace.settings.home)
        later = await anyio.to_thread.run_sync(store.used_approvals, RESUME, "job", job.id)
        approvals = [first, *later] if first else later
        if approvals:
            await workspace.settle(approvals[-1], f"jobs/{job.id}", approvals[:-1])
