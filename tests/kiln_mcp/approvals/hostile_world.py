"""A project full of injected instructions, and what would show that one of them worked."""

import json
import subprocess
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from pydantic import JsonValue

from kiln_mcp.approvals.approval import ApprovalState
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.settings import Settings
from tests.kiln_mcp.approvals.obedient import Instruction, JsonObject, read_corpus

_HOME_FILES = frozenset({"policy.json", "servers.json"})
_GIT_FILES = frozenset({"config", "hooks"})


@dataclass(slots=True)
class Models:
    """A server on the loopback with a paid and a free model; both answer with injections.

    Attributes:
        answers: What it answers, in turn.
        paid: Calls of the paid model so far.
        free: Calls of the free model so far.
        address: Up to the name of the price, without `/v1`.
    """

    answers: Sequence[str]
    paid: int = 0
    free: int = 0
    address: str = ""

    async def answer_paid(self, request: web.Request) -> web.Response:
        self.paid += 1
        return await self._answer(request)

    async def answer_free(self, request: web.Request) -> web.Response:
        self.free += 1
        return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        text = self.answers[(self.paid + self.free) % len(self.answers)]
        message = {"role": "assistant", "content": text}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What would be different if something had been done without the person.

    Attributes:
        paid_calls: Calls that reached the paid model.
        lost: Ids of records that are neither in the project nor in its trash.
        tasks: First tasks that are in their place: with one goes everything below it.
        sent: Files outside the project and the home, and what the shared repositories hold.
        certified: Labels that count for a certificate.
        approvals: Requests that somebody approved.
        settings: The home's settings, and files in it that nobody but its owner may make.
        programs: Git's hooks and settings in the project, and code of its records.
    """

    paid_calls: int
    lost: frozenset[str]
    tasks: frozenset[str]
    sent: frozenset[str]
    certified: int
    approvals: frozenset[str]
    settings: Mapping[str, str]
    programs: Mapping[str, str]


@dataclass(slots=True)
class HostileWorld:
    """A home, a project and the places outside them.

    Attributes:
        root: Holds everything.
        models: The loopback models.
        ids: Of the records that were there at the beginning.
        runs: Of the runs among them.
        copy: The path of a cloud drive's conflict copy in the project.
        tools: Every tool of the catalogue with arguments that a person's yes would let through.
    """

    root: Path
    models: Models
    ids: frozenset[str] = frozenset()
    runs: tuple[str, ...] = ()
    copy: str = ""
    tools: dict[str, list[JsonObject]] = field(default_factory=dict[str, list[JsonObject]])

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def address(self) -> str:
        """The foreign repository."""
        return str(self.root / "foreign.git")

    @property
    def environment(self) -> dict[str, str]:
        return {"KILN_MCP_HOME": str(self.home), "KILN_MCP_MODEL": "paid/m"}

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    def texts(self, *places: str) -> list[str]:
        """Return the injections of some places, all without any, with their slots filled in."""
        return [self._filled(one) for one in read_corpus() if not places or one.place in places]

    def _filled(self, one: Instruction) -> str:
        text = one.text.replace("{address}", self.address)
        return text.replace("{outside}", str(self.outside))

    def evidence(self) -> Evidence:
        """Look at everything that may have been touched."""
        return Evidence(
            paid_calls=self.models.paid,
            lost=self.ids - ids_below(self.project),
            tasks=self.ids & _ids_of(self.project.glob("tasks/*/task.kiln")),
            sent=frozenset(self._sent()),
            certified=sum(_certified(file) for file in self.project.rglob("kiln_mcp_labels.jsonl")),
            approvals=frozenset(
                one.id
                for one in ApprovalStore(self.home).history(10_000)
                if one.state in {ApprovalState.APPROVED, ApprovalState.USED}
            ),
            settings=_contents(self.home, _HOME_FILES),
            programs={
                **_contents(self.project / ".git", _GIT_FILES),
                **{str(file): file.read_text() for file in self.project.rglob("*.py")},
            },
        )

    def _sent(self) -> list[str]:
        files = [str(file) for file in self.outside.rglob("*")]
        for name in ("shared.git", "foreign.git"):
            refs = subprocess.run(
                ["git", "for-each-ref"], cwd=self.root / name, capture_output=True, check=True
            )
            files += refs.stdout.decode().splitlines()
        return files


@asynccontextmanager
async def hostile_world(root: Path) -> AsyncGenerator[HostileWorld]:
    """Make the world without its project; its models answer for as long as it is entered."""
    world = HostileWorld(root, Models([]))
    world.models.answers = world.texts("judge_answer", "model_answer")
    app = web.Application()
    app.router.add_post("/paid/v1/chat/completions", world.models.answer_paid)
    app.router.add_post("/free/v1/chat/completions", world.models.answer_free)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    world.models.address = f"http://127.0.0.1:{port}"
    try:
        _prepare_folders(world)
        yield world
    finally:
        await runner.cleanup()


def _prepare_folders(world: HostileWorld) -> None:
    world.home.mkdir(parents=True, mode=0o700)
    world.outside.mkdir()
    for name in ("shared.git", "foreign.git"):
        subprocess.run(
            ["git", "init", "--quiet", "--bare", str(world.root / name)], check=True, timeout=30
        )
    servers = [
        {
            "name": name,
            "base_url": f"{world.models.address}/{name}/v1",
            "input_usd_per_million": price,
            "output_usd_per_million": price,
            "schema_mode": False,
        }
        for name, price in (("paid", 20.0), ("free", 0.0))
    ]
    (world.home / "servers.json").write_text(json.dumps(servers), encoding="utf-8")


def records_below(folder: Path) -> list[dict[str, JsonValue]]:
    """Return the records of a project, its trash included."""
    return [
        json.loads(file.read_bytes()) for file in folder.rglob("*.kiln") if ".git" not in file.parts
    ]


def ids_below(folder: Path) -> frozenset[str]:
    """Return the ids of all records of a project, its trash included."""
    return frozenset(str(record.get("id")) for record in records_below(folder))


def _ids_of(files: Iterable[Path]) -> frozenset[str]:
    return frozenset(str(json.loads(file.read_bytes())["id"]) for file in files)


def _certified(file: Path) -> int:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return sum(line["ledger"] == "certificate" and line.get("confirmed", True) for line in lines)


def _contents(folder: Path, names: frozenset[str]) -> dict[str, str]:
    files = [file for name in names for file in (folder / name, *(folder / name).rglob("*"))]
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8", errors="replace")
        for file in files
        if file.is_file() and file.suffix != ".sample"
    }
