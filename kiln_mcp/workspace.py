"""What a capability works with: open projects, the model engine, progress, approval."""

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

import anyio
import anyio.from_thread
from pydantic import TypeAdapter, ValidationError

from kiln_mcp.errors import ApprovalNeeded, Plan, UnknownCapability, UnknownProject, UnusablePath
from kiln_mcp.jobs import Job, JobDesk, JobSettings, JsonObject
from kiln_mcp.llm import Budget, Engine
from kiln_mcp.settings import Settings
from storage import ProjectStore, new_id
from storage.files import check_room, disk_errors
from storage.names import folded_name

_LISTED: Final = TypeAdapter(dict[str, str])
STILL_THERE: Final = 1e-6
_BEFORE_ALL_ELSE: Final = 1e-9
SAY_AGAIN_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Between two looks at whether others are done with what they have claimed."""
BYTES_A_CALL: Final = 16_384
"""What an answer takes on a disk: its row in the journal, and the files of its result."""

ProgressReport = Callable[[float, float | None, str | None], Awaitable[None]]
"""Called with what is done, what there is in all (None: not known), and a sentence."""


Perform = Callable[["Workspace", str, JsonObject], Awaitable[JsonObject]]
"""Calls the capability of this name with these arguments."""


async def _nothing_to_perform(
    workspace: "Workspace", capability: str, arguments: JsonObject
) -> JsonObject:
    """Know no capability."""
    raise UnknownCapability(capability, [])


async def _unheard(done: float, total: float | None, message: str | None) -> None:
    """Report to nobody."""


class Relay:
    """Passes progress on, and between two reports the sentences that say what is waited for."""

    def __init__(self, report: ProgressReport, step: float = 0.0) -> None:
        """Set up.

        Args:
            report: Where all goes.
            step: By how much a sentence counts as progress, for those who want only higher numbers.
        """
        self._report = report
        self._step = step
        self._done = 0.0
        self._total: float | None = None
        self._said = ""
        self._said_at = 0.0

    async def report(self, done: float, total: float | None, message: str | None) -> None:
        """Pass progress on."""
        self._done, self._total = done, total
        await self._report(done, total, message)

    async def say(self, sentence: str) -> None:
        """Pass a sentence on, once for all calls that wait for the same."""
        now = time.monotonic()
        if sentence == self._said and now - self._said_at < SAY_AGAIN_S:
            return
        self._said, self._said_at = sentence, now
        self._done += self._step
        await self._report(self._done, self._total, sentence)


class KnownProjects:
    """The projects that this person has opened, by name; kept in the per-user home."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open: dict[Path, ProjectStore] = {}

    def folders(self) -> dict[str, Path]:
        """Return the folder of each known project by its name, oldest first."""
        return self._read() or {}

    def damage(self) -> str:
        """Return what is to be said of a list that cannot be read, "" where none was."""
        if self._read() is None:
            return (
                f"The list of known projects, {self._file}, is damaged and is kept aside when the "
                "next project is opened by the path of its folder."
            )
        aside = sorted(self._file.parent.glob(f"{self._file.stem}.damaged-*"))
        return f"A damaged list of known projects was kept as {aside[-1]}." if aside else ""

    def _read(self) -> dict[str, Path] | None:
        """Return the folders by name; None where the list is damaged."""
        try:
            listed = _LISTED.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError:
            return None
        return {name: Path(folder) for name, folder in listed.items()}

    def remember(self, store: ProjectStore) -> None:
        """Keep the project's name and folder for the next time."""
        known = self._read()
        if known is None:
            aside = f"{self._file.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
            with suppress(FileNotFoundError):  # another process was quicker
                self._file.rename(self._file.with_name(aside))
            known = {}
        if known.get(store.project.name) == store.folder:
            return
        known[store.project.name] = store.folder
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        text = json.dumps({n: str(f) for n, f in known.items()}, indent=2, ensure_ascii=False)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._file)

    async def open(self, folder: Path, home: Path) -> ProjectStore:
        """Return the open store of a folder; one store a folder and process."""
        if folder not in self._open:
            self._open[folder] = await ProjectStore.open(folder, home=home)
            await anyio.to_thread.run_sync(self.remember, self._open[folder])
        return self._open[folder]

    async def close(self) -> None:
        """Close every open store."""
        for store in self._open.values():
            await store.close()
        self._open.clear()


@dataclass(frozen=True, slots=True)
class Workspace:
    """The context of a call: shared by all calls but for its progress and approval.

    Attributes:
        settings: What the person set.
        engine: The one way to ask a model anything.
        known: The projects that this person has opened.
        perform: Calls a capability by its name.
        report: Where progress goes.
        confirmed: Whether the person has agreed to what this call's plan says.
        plan_only: Whether only the plan is wanted, even where it needs no approval.
        desk: Where jobs are handed in.
        client: Who calls, so that it is known again; empty where nobody can tell.
        job: The id of the job that this call is an attempt of; empty outside of jobs.
    """

    settings: Settings
    engine: Engine
    known: KnownProjects
    perform: Perform = _nothing_to_perform
    report: ProgressReport = _unheard
    confirmed: bool = False
    plan_only: bool = False
    desk: JobDesk | None = None
    client: str = ""
    job: str = ""

    def for_call(self, *, confirmed: bool) -> Self:
        """Return the context of one call, with the person's approval or without it."""
        return replace(self, confirmed=confirmed)

    def with_progress(self, report: ProgressReport) -> Self:
        """Return the same workspace with progress going to `report`, waits of models included."""
        relay = Relay(report, STILL_THERE)
        return replace(self, report=relay.report, engine=self.engine.heard_by(relay.say))

    def with_model(self, name: str) -> Self:
        """Return the same workspace with another default model."""
        engine = replace(self.settings.engine, default_model=name)
        return replace(self, settings=replace(self.settings, engine=engine))

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
            UnknownProject: Neither a folder nor a known name.
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
            UnknownProject: Neither a folder nor a known name.
        """
        known = self.known.folders()
        by_name = {folded_name(name): folder for name, folder in known.items()}
        folder = by_name.get(folded_name(reference))
        if folder is not None:
            return folder
        try:
            path = self.place(reference)
        except UnusablePath as error:
            raise UnknownProject(reference, list(known), self.known.damage()) from error
        folder = path.parent if path.name == "project.kiln" else path
        if not await anyio.Path(folder).exists():
            raise UnknownProject(reference, list(known), self.known.damage())
        return folder

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
            storage.errors.WriteFailed: The project or the home is read-only, or has no space.
        """
        await self.engine.check_ready(calls)
        await self.check_room(store, sum(calls.values()))

    async def check_room(self, store: ProjectStore, calls: int) -> None:
        """Refuse what so many calls give if project or home could not keep it.

        Raises:
            storage.errors.WriteFailed: The project or the home is read-only, or has no space.
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

    def approve(self, plan: Plan) -> None:
        """Go on only where the plan costs nothing or the person has agreed to it.

        Call it before anything is done.

        Raises:
            ApprovalNeeded: The person must be asked first.
        """
        if self.plan_only or (plan.needs_approval and not self.confirmed):
            raise ApprovalNeeded(plan)


def _check_home(home: Path, size: int) -> None:
    with disk_errors(home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_room(home, size)


@asynccontextmanager
async def open_workspace(
    settings: Settings, perform: Perform = _nothing_to_perform
) -> AsyncGenerator[Workspace]:
    """Open the workspace of this person for the life of a process.

    Args:
        settings: What the person set.
        perform: Calls a capability by its name: what jobs do.
    """
    with suppress(OSError):  # who needs the home says what is wrong with it
        # Prompts and answers lie there: nobody else's business.
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = replace(settings.engine, shared_database_url=settings.shared_database_url)
    async with Engine(shared) as engine:
        known = KnownProjects(settings.home / "projects.json")

        budgets: dict[str, Budget] = {}

        async def work(job: Job, report: ProgressReport) -> JsonObject:
            name = f"jobs/{job.id}"
            budget = budgets[job.id] = await engine.budget(name, job.limit, job.worked_s)
            relay = Relay(report)
            heard = engine.within(budget).heard_by(relay.say)
            own = replace(workspace, engine=heard, report=relay.report, job=job.id)
            if job.model is not None:  # of the client that started it; the daemon serves others too
                own = own.with_model(job.model)
            try:
                result = await perform(own, job.capability, job.arguments)
            except Exception as error:
                # It comes alone, or in the group of a capability that does several things at once.
                if budget.refusal is not None and budget.refusal is not error:
                    raise budget.refusal from error
                raise
            finally:
                del budgets[job.id]
            if budget.refusal is not None:
                raise budget.refusal
            return result

        async def hold(job_id: str) -> None:
            if job_id in budgets:
                await budgets[job_id].hold()

        jobs = JobSettings(settings.database_url)
        desk = JobDesk(jobs if settings.does_jobs else replace(jobs, at_once=0), work, hold)
        workspace = Workspace(
            settings=settings, engine=engine, known=known, perform=perform, desk=desk
        )
        try:
            yield workspace
        finally:
            await desk.close()
            await known.close()
