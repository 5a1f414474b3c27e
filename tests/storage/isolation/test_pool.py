"""One item that passes a limit, crashes or breaks costs that item alone."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from storage.isolation.item_limits import WorkerLimits
from storage.isolation.outcomes import Failed, Invalid, Outcome, Value
from storage.isolation.pool import WorkerPool

HOSTILE = "^(?=a)(a+)+$"
FITS = {"pattern": "(?=b)b", "text": "abc"}


@pytest.fixture(scope="module")
def pool() -> Generator[WorkerPool]:
    made = WorkerPool(WorkerLimits(seconds=0.3, megabytes=256), size=2)
    yield made
    made.close()


def expression(pool: WorkerPool, text: str, output: str = "x") -> Outcome:
    names: dict[str, JsonValue] = {"final_message": output}
    return pool.run("expression", text, {"expression": text, "names": names})


def test_a_pattern_that_backtracks_for_ever_fails_in_time_and_the_next_item_goes_on(
    pool: WorkerPool,
) -> None:
    text = "a" * 40 + "!"
    slow = pool.run("match", HOSTILE, {"pattern": HOSTILE, "text": text})
    assert slow == Failed("took longer than 0.3 s", "time")
    assert pool.run("match", HOSTILE, {"pattern": HOSTILE, "text": "aaa"}) == Value(True)


@pytest.mark.parametrize(
    "text",
    [
        "'a'|center(3000000000)",
        "[1]|batch(100000000,1)|list",
        "('a' * 900000)|list|map('center', 9000)|list",
        "'%9999999999s' % 'a'",
    ],
)
def test_an_expression_that_builds_something_huge_fails_alone(pool: WorkerPool, text: str) -> None:
    outcome = expression(pool, text)
    assert isinstance(outcome, Failed), outcome
    assert expression(pool, "final_message ~ 'y'") == Value("xy")


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("(final_message|fromjson).x", "[" * 3000),
        ("(final_message|fromjson).x", '{"a":' * 100_000),
        ("(final_message|fromjson).x", "not json"),
        ("final_message.nothing", "x"),
        ("1 / 0", "x"),
        ("9 ** 9 ** 9", "x"),
        ("'a' * 100000000", "x"),
        ("range(99999999999)|list", "x"),
        ("''.__class__.__mro__", "x"),
    ],
)
def test_an_expression_that_cannot_be_computed_says_why(
    pool: WorkerPool, text: str, output: str
) -> None:
    outcome = expression(pool, text, output)
    assert isinstance(outcome, Failed)
    assert outcome.breach is None


def test_wrong_syntax_is_the_logics_fault_and_not_the_items(pool: WorkerPool) -> None:
    assert isinstance(expression(pool, "final_message |"), Invalid)
    outcome = pool.run("match", "(", {"pattern": "(", "text": "x"})
    assert isinstance(outcome, Invalid)


def test_an_expression_that_is_nested_without_end_is_refused(pool: WorkerPool) -> None:
    text = "(" * 5000 + "1" + ")" * 5000
    assert isinstance(expression(pool, text), Failed | Invalid)
    assert expression(pool, "1") == Value(1)


def code(pool: WorkerPool, text: str, seconds: int = 5) -> Outcome:
    names: dict[str, JsonValue] = {"output": "x", "task_input": "y"}
    arguments: dict[str, JsonValue] = {"code": text, "names": names, "seconds": seconds}
    return pool.run_alone("code", text, arguments, seconds)


def test_a_worker_that_dies_costs_its_item_alone(pool: WorkerPool) -> None:
    died = code(pool, "import os\ndef score(output):\n    os._exit(3)")
    assert died == Failed("ended its worker process", "crash")
    assert code(pool, "def score(output):\n    return len(output)") == Value(1)


def test_code_sees_no_secret_no_open_file_and_no_network(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    held = os.open(tmp_path / "held-open", os.O_RDWR | os.O_CREAT)
    seen = f"""
import os
def number_of(fd):
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0
def score(output):
    ours = [fd for fd in range(1024) if number_of(fd) == {os.fstat(held).st_ino}]
    return {{"variables": len([name for name in os.environ if "KEY" in name]), "files": len(ours),
            "here": len(os.listdir("."))}}
"""
    os.set_inheritable(held, True)
    try:
        assert code(pool, seen) == Value({"variables": 0, "files": 0, "here": 0})
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def score(output):\n    return True", "answered 'True' instead of a number"),
        ("def score(output):\n    return 'good'", "answered 'good' instead of a number"),
        ("def score(output):\n    return float('nan')", "answered 'nan' instead of a number"),
        (
            "def score(output):\n    return 1 / 0",
            "broke: ZeroDivisionError: division by zero (line 2",
        ),
        ("def score(other):\n    return 1", "broke: TypeError"),
        ("def score(output):\n    return score(output)", "broke: RecursionError"),
    ],
)
def test_code_that_gives_no_number_says_why(pool: WorkerPool, text: str, reason: str) -> None:
    outcome = code(pool, text)
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(reason), outcome


def test_code_that_waits_for_ever_ends_in_its_own_time(pool: WorkerPool) -> None:
    outcome = code(pool, "import time\ndef score(output):\n    time.sleep(99)", seconds=1)
    assert outcome == Failed("took longer than 1 s", "time")


def test_a_worker_that_waited_long_is_ended(pool: WorkerPool) -> None:
    short = WorkerPool(WorkerLimits(idle_seconds=0.05), size=2)
    short.run("match", "x", dict(FITS))
    ends = time.monotonic() + 5
    while short.idle and time.monotonic() < ends:
        time.sleep(0.01)
    assert short.idle == 0


def test_a_worker_is_replaced_after_its_number_of_items() -> None:
    one = WorkerPool(WorkerLimits(tasks=1), size=2)
    one.run("match", "x", dict(FITS))
    assert one.idle == 0
    one.close()


async def test_one_slow_logic_does_not_take_all_workers(pool: WorkerPool) -> None:
    arguments: dict[str, JsonValue] = {"pattern": HOSTILE, "text": "a" * 40 + "!"}
    ends: list[Outcome] = []

    async def ask_slowly() -> None:
        ends.append(await pool.ask("match", HOSTILE, arguments, seconds=1))

    async with anyio.create_task_group() as group:
        for _ in range(8):  # 8 s of work
            group.start_soon(ask_slowly)
        await anyio.wait_all_tasks_blocked()
        assert await pool.ask("match", "other", dict(FITS)) == Value(True)
        assert len(ends) < 4
        group.cancel_scope.cancel()


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    program = """
import os, sys
from storage.isolation.pool import WorkerPool
pool = WorkerPool(size=2)
pool.run("match", "x", {"pattern": "(?=b)b", "text": "abc"})
print(pool._idle[0]._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=30
    )
    worker = int(done.stdout)
    ends = time.monotonic() + 10
    while _is_there(worker) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not _is_there(worker)


def _is_there(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] != "Z"


def test_limits_come_from_the_environment_and_a_wrong_value_is_ignored() -> None:
    read = WorkerLimits.from_environment({"KILN_MCP_ITEM_SECONDS": "5", "KILN_MCP_ITEM_MB": "1024"})
    assert (read.seconds, read.megabytes) == (5.0, 1024)
    for wrong in ("", "many", "nan", "-inf"):
        read = WorkerLimits.from_environment(
            {"KILN_MCP_ITEM_SECONDS": wrong, "KILN_MCP_ITEM_MB": wrong}
        )
        assert (read.seconds, read.megabytes) == (2.0, 512)
