"""Whether the first request of an assistant has our tools, on a home that is new each time.

Each client is prepared as `kiln-mcp install` does it, and plays the session of
`tests/fakes/assistant_script.py` against a model on the loopback. Counted are the tools of its
first request, and the seconds from its start to that request and to its end.

    npm install --prefix build/clients @openai/codex @anthropic-ai/claude-code
    python benchmarks/clients/first_request.py build/clients --clients codex claude-code
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fakes")]
from assistant_programs import PROGRAMS, Program  # noqa: E402
from assistant_script import ITEMS, saved_records, session  # noqa: E402
from assistant_server import Assistant, assistant_server, own_server  # noqa: E402
from kiln_mcp.doors.clients.client_files import Launch  # noqa: E402
from person_home import stop_daemon  # noqa: E402

WITHIN_S = 180


@dataclass(frozen=True)
class Result:
    """What one session showed.

    Attributes:
        ours: How many of the session's tools the first request had.
        named: How many it had or named at least, so that a model can ask for them.
        tools: How many tools it had in all.
        first_s: Seconds from the start of the program to the first request.
        all_s: Seconds to its end.
        requests: How many requests it sent.
        is_done: Whether the spec and the results of the eval were saved.
    """

    ours: int
    named: int
    tools: int
    first_s: float
    all_s: float
    requests: int
    is_done: bool


async def play(program: Program, packages: Path, node: str, home: Path) -> Result:
    """Play one session on a new home."""
    (home / "kiln").mkdir(mode=0o700)
    (home / "work").mkdir()
    assistant = Assistant(session(home / "support"))
    command = str(Path(sys.executable).with_name("kiln-mcp"))
    settings = (("KILN_MCP_HOME", str(home / "kiln")), ("KILN_MCP_MODEL", "local/kiln"))
    async with assistant_server(assistant) as address:
        servers = json.dumps([own_server(address)])
        (home / "kiln" / "servers.json").write_text(servers, encoding="utf-8")
        program.prepare(home, address, Launch(command, (), settings))
        environment = program.environment(home, address, node)
        started = time.monotonic()
        await run(program.line(packages, node), home, environment)
        all_s = time.monotonic() - started
    await asyncio.to_thread(stop_daemon, home)
    if not assistant.requests:
        raise SystemExit(f"{program.package} sent no request with tools.")
    first, tools = assistant.requests[0]
    names = {step.tool for step in assistant.steps}
    ours = {name for name in names if any(tool.endswith(name) for tool in tools)}
    return Result(
        len(ours),
        sum(name in assistant.first_text for name in names),
        len(tools),
        first - started,
        all_s,
        len(assistant.requests),
        saved_records(home / "support") == (1, ITEMS),
    )


async def run(command: list[str], home: Path, environment: dict[str, str]) -> None:
    """Run a program to its end; what it prints goes to a file of the home."""
    with (home / "printed.txt").open("ab") as printed:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=home / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
        )
        try:
            await asyncio.wait_for(process.wait(), WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def main() -> None:
    """Read the arguments, play the sessions, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", type=Path, help="the folder that holds node_modules")
    parser.add_argument("--clients", nargs="+", choices=PROGRAMS, default=[*PROGRAMS])
    parser.add_argument("--node", default=shutil.which("node") or "node")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    heads = ("ours", "named", "tools", "first s", "all s", "requests", "done")
    print(f"{'client':12}" + "".join(f"{head:>9}" for head in heads))
    for name in arguments.clients:
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory() as folder:
                result = asyncio.run(
                    play(
                        PROGRAMS[name],
                        arguments.packages.absolute(),
                        arguments.node,
                        Path(folder),
                    )
                )
            row = (
                *(str(number) for number in (result.ours, result.named, result.tools)),
                *(f"{seconds:.1f}" for seconds in (result.first_s, result.all_s)),
                str(result.requests),
                "yes" if result.is_done else "no",
            )
            print(f"{name:12}" + "".join(f"{cell:>9}" for cell in row))


if __name__ == "__main__":
    main()
