"""In a network namespace without any network: nothing is tried but the model that was named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]

# Every name that is looked up and every address beyond this machine is written down.
WATCHED = """
import asyncio, fcntl, socket, struct, sys

SET_FLAGS, UP_AND_RUNNING = 0x8914, 0x41  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
with socket.socket() as control:
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))

tried = []
real = socket.getaddrinfo

def watched(host, *arguments, **options):
    if host not in ("127.0.0.1", "localhost", None):
        tried.append(host)
        raise socket.gaierror("no network")
    return real(host, *arguments, **options)

socket.getaddrinfo = watched

def audit(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        if arguments[1][0] not in ("127.0.0.1", "::1"):
            tried.append(arguments[1][0])

sys.addaudithook(audit)

from aiohttp import web
from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.llm.errors import ModelError

REPLY = {
    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}

async def main():
    async def chat(request):
        return web.json_response(REPLY)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    settings = EngineSettings(
        servers=(ServerSettings("local", address),),
        environment={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address},
    )
    async with Engine(settings) as engine:
        for model in ("local/m", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "embedded"):
            request = ModelRequest(model, (Message("user", "Hello?"),), max_tokens=3)
            try:
                answer = await engine.complete(request, asker="test")
                print(model, "answered")
            except ModelError as error:
                print(model, type(error).__name__)
        await engine.models()
    await runner.cleanup()
    print("tried:", sorted(set(tried)))

asyncio.run(main())
"""


def _namespaces_work() -> bool:
    program = shutil.which("unshare")
    if program is None:
        return False
    tried = subprocess.run([program, "-rn", "true"], capture_output=True, check=False, timeout=10)
    return tried.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _namespaces_work(), reason="no network namespaces here (unshare -rn)")
def test_without_a_network_everything_local_works_and_nothing_else_is_tried(
    tmp_path: Path,
) -> None:
    script = tmp_path / "watched.py"
    script.write_text(WATCHED, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, str(script)],
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert "local/m answered" in lines, done.stderr
    assert "openai/gpt-4o-mini answered" in lines
    assert "anthropic/claude-sonnet-4-5 MissingKey" in lines
    assert lines[-1] == "tried: []"
