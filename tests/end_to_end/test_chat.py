"""kiln-chat as a person starts it: a real process, the real server, a model over HTTP."""

import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from counted_process import python_command
from kiln_mcp.doors.bridge import Daemon, Exchange

CHAT = "from agent.program import main; main()"
CHAT_WITH_IMPORTS = (
    "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); " + CHAT
)
SERVER = """\
import os
os.environ["KILN_MCP_HOME"] = {home!r}
from kiln_mcp.doors.bridge import main
main()
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@asynccontextmanager
async def model_server(answers: Sequence[Mapping[str, object]]) -> AsyncGenerator[str]:
    """Serve an OpenAI-compatible model on loopback that streams these messages, in order."""
    left = list(answers)

    async def complete(request: web.Request) -> web.StreamResponse:
        await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in ({"role": "assistant", **left.pop(0)}, {}):
            finish = None if delta else "stop"
            chunk = {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "m",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Yield the command of a workbench whose one daemon serves every chat."""
    folder = tmp_path_factory.mktemp("workbench")
    script = folder / "server.py"
    script.write_text(SERVER.format(home=str(folder / "home")), encoding="utf-8")
    yield f"{sys.executable} {script}"
    if (folder / "home" / "daemon.json").exists():
        running = Daemon(folder / "home")
        running.find()
        with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()


async def chat(
    workbench: str, home: Path, typed: str, *arguments: str, program: str = CHAT
) -> Ended:
    environment = {**os.environ, "KILN_MCP_HOME": str(home), "OPENAI_API_KEY": "not-a-real-key"}
    environment.pop("KILN_CHAT_MODEL", None)
    command = [*python_command(program), "--server", workbench, *arguments]
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with anyio.fail_after(90):
        done = await anyio.run_process(command, input=typed.encode(), env=environment, check=False)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def wish(tool: str, **arguments: str | bool) -> Mapping[str, object]:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}


async def test_a_conversation_makes_a_project_through_the_real_server(
    workbench: str, tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    wanted = wish("create_project", name="p", folder=str(folder))
    answers: list[Mapping[str, object]] = [wanted, {"content": "It is there."}]
    async with model_server(answers) as url:
        ended = await chat(
            workbench, tmp_path / "home", "make one\n/cost\n", "--model", "m", "--api-base", url
        )
    assert ended.code == 0, ended.err
    assert "✓ 1 create_project" in ended.out
    assert "It is there." in ended.out
    assert "2 calls, " in ended.out
    assert (folder / "project.kiln").exists()
    (saved,) = (tmp_path / "home" / "chats").glob("*.jsonl")
    assert "not-a-real-key" not in saved.read_text(encoding="utf-8")


async def test_lines_that_no_person_types_approve_nothing(workbench: str, tmp_path: Path) -> None:
    paid = '/call test_model {"model": "openai/gpt-4.1", "approval_id": "ap-234567"}'
    ended = await chat(workbench, tmp_path / "home", f"{paid}\ny\nyes\n/quit\n")
    plan, _, after = ended.out.replace("Test a model", "test_model").partition("may spend money")
    assert plan.endswith("test_model ")
    assert "Not answered (no person at a terminal)." in after
    assert "closed the question without an answer. Nothing has been done." in after


async def test_a_workbench_that_does_not_start_is_one_sentence(tmp_path: Path) -> None:
    ended = await chat("no-such-program", tmp_path / "home", "hello\n")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("kiln-chat: The workbench could not be started with 'no-such-prog")
    assert ended.err.count("\n") == 1


async def test_without_a_model_the_tools_can_be_called_by_hand(
    workbench: str, tmp_path: Path
) -> None:
    typed = f'/call create_project {{"name": "q", "folder": "{tmp_path / "p"}"}}\n/quit\n'
    ended = await chat(workbench, tmp_path / "home", typed)
    assert ended.code == 0, ended.err
    assert "create_project" in ended.out


async def test_without_a_model_talking_says_how_to_name_one(workbench: str, tmp_path: Path) -> None:
    ended = await chat(workbench, tmp_path / "home", "hello\n")
    assert ended.code == 1
    assert "Name one with --model or KILN_CHAT_MODEL" in ended.out


async def test_a_model_server_that_is_down_is_said_in_one_sentence(
    workbench: str, tmp_path: Path
) -> None:
    ended = await chat(
        workbench,
        tmp_path / "home",
        "hello\n",
        "--model",
        "m",
        "--api-base",
        "http://127.0.0.1:9/v1",
    )
    assert ended.code == 1
    assert ended.out.startswith("The server of api-base/m does not answer:")
    assert "http://127.0.0.1:9/v1" in ended.out
    assert "Traceback" not in ended.out + ended.err


async def test_a_server_of_its_own_is_asked_without_the_library_for_hosted_models(
    workbench: str, tmp_path: Path
) -> None:
    async with model_server([{"content": "Hello."}]) as url:
        ended = await chat(
            *(workbench, tmp_path / "home", "hi\n", "--model", "m", "--api-base", url),
            program=CHAT_WITH_IMPORTS,
        )
    assert "Hello." in ended.out
    assert not set(ended.err.split()) & {"dbos", "litellm", "numpy", "openai", "pandas", "scipy"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "No model is configured"),
        (("--model", "nonsense"), "There is no model 'nonsense'"),
        (("--model", "openai/gpt-4.1", "--resume", "x"), "There is no saved chat 'x'"),
        (("--model", "openai/gpt-4.1", "--resume", ""), "There is no saved chat ''"),
        (("--model", "openai/gpt-4.1", "--server", "'x"), "is no command for --server"),
    ],
)
async def test_a_turn_that_cannot_be_is_refused_before_the_workbench_starts(
    words: Sequence[str], sentence: str, tmp_path: Path
) -> None:
    ended = await chat("no-such-program", tmp_path / "home", "", "-p", "hi", *words)
    assert (ended.code, ended.out) == (1, "")
    assert sentence in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no shell of this kind")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
async def test_a_stream_that_the_caller_closed_is_an_empty_one(
    closed: str, workbench: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "KILN_MCP_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    async with model_server([{"content": "Hello."}]) as url:
        words = [*python_command(CHAT), "--server", workbench, "-p", "hi", "--api-base", url]
        command = f"{shlex.join([*words, '--model', 'm'])} {closed}"
        with anyio.fail_after(90):
            done = await anyio.run_process(
                ["sh", "-c", command], input=b"", env=environment, check=False
            )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b"" if closed == ">&-" else b"Hello.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
@pytest.mark.parametrize("words", [["-p", "hi"], ["-p", "hi", "--output", "stream-json"], []])
async def test_it_ends_without_a_word_when_its_reader_has_gone(
    words: list[str], workbench: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "KILN_MCP_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    async with model_server([{"content": "Hello."}]) as url:
        command = [*python_command(CHAT), "--server", workbench, "--api-base", url]
        reader, writer = os.pipe()
        os.close(reader)
        with anyio.fail_after(90):
            done = await anyio.run_process(
                [*command, "--model", "m", *words],
                input=b"" if words else b"hi\n",
                stdout=writer,
                env=environment,
                check=False,
            )
        os.close(writer)
    saved = "".join(f.read_text("utf-8") for f in (tmp_path / "home" / "chats").glob("*.jsonl"))
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
    assert ("hi" in saved) == ("stream-json" not in words)  # whose first line is before the turn
