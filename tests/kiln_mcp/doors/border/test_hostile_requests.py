"""Hostile HTTP against the real daemon, while a second client must be answered within 2 s."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from kiln_mcp.doors.bridge import Daemon, Exchange

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]

ROOT: Final = Path(__file__).parents[4]
PROGRAM: Final = "import sys; from kiln_mcp.doors.cli import main; sys.exit(main())"
OPEN_FILES: Final = 256
ANSWERED_WITHIN_S: Final = 2.0
SWITCHES: Final = 5
"""How often an answer waits for a core: in the client, and in the threads of the daemon."""
PAUSE_S: Final = 0.05
META: Final[Mapping[str, object]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
LIST: Final = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
).encode()
LIST_HEADERS: Final = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}


@dataclass(slots=True)
class Witness:
    """A second client, by TCP and by the socket in turns."""

    home: Path
    slowest_s: float = 0.0
    core_wait_s: float = 0.0
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        daemon = Daemon(self.home)
        daemon.find()
        by_tcp = daemon.address._replace(path="")
        while not self.over.is_set():
            paused = time.monotonic()
            self.over.wait(PAUSE_S)
            self.core_wait_s = max(self.core_wait_s, time.monotonic() - paused - PAUSE_S)
            address = (by_tcp, daemon.address)[self.answers % 2]
            began = time.monotonic()
            try:
                with Exchange(address, "POST", "/mcp", LIST_HEADERS, LIST, within_s=10) as asked:
                    asked.send()
                    assert b'"tools"' in b"".join(asked.messages())
            except (OSError, ValueError, AssertionError) as error:
                self.failures.append(f"{address.path or 'TCP'}: {error!r}")
            self.answers += 1
            self.heard.set()
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class Target:
    """The daemon under attack."""

    home: Path
    port: int
    token: str
    pid: int

    @property
    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208

    @property
    def log_size(self) -> int:
        return (self.home / "daemon.log").stat().st_size

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def text(self, template: bytes) -> bytes:
        return template.replace(b"PORT", b"%d" % self.port).replace(b"TOKEN", self.token.encode())

    @contextmanager
    def watched(self) -> Generator[None]:
        """Hold a second client's waits to the limit while the block lasts."""
        witness = Witness(self.home)
        thread = threading.Thread(target=witness.run)
        thread.start()
        try:
            yield
        finally:
            assert witness.heard.wait(10)
            witness.over.set()
            thread.join(30)
        assert witness.failures == []
        # Other tests use the cores too: what a thread waits for one is no fault of the daemon.
        assert witness.slowest_s < ANSWERED_WITHIN_S + SWITCHES * witness.core_wait_s


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Generator[Target]:
    home = tmp_path_factory.mktemp("home")
    foreign = tmp_path_factory.mktemp("foreign")
    environment = {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))

    with (home / "daemon.log").open("ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, "serve"],
            env=environment,
            cwd=foreign,
            stdin=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=few_files,
        )
    until = time.monotonic() + 60
    while not (home / "daemon.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    known = json.loads((home / "daemon.json").read_text(encoding="utf-8"))
    yield Target(home, known["port"], known["token"], daemon.pid)
    daemon.terminate()
    daemon.wait(20)


def reply_to(target: Target, pieces: Sequence[bytes], pause_s: float = 0.0) -> bytes:
    """Return all that the daemon says until it closes the connection, at most 12 s."""
    heard = b""
    with target.connect() as connection, suppress(ConnectionError, TimeoutError):
        for piece in pieces:
            with suppress(ConnectionError):
                connection.sendall(target.text(piece))
            time.sleep(pause_s)
        until = time.monotonic() + 12
        while time.monotonic() < until and (more := connection.recv(65_536)):
            heard += more
    return heard


LOCAL: Final = b"Host: 127.0.0.1:PORT\r\n"
KNOWN: Final = LOCAL + b"Authorization: Bearer TOKEN\r\n"
LAST: Final = b"Connection: close\r\n"
JSON_BODY: Final = (
    b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
)


def request(line: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return line + b" HTTP/1.1\r\n" + headers + b"\r\n" + body


def keys(body: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return request(b"POST /keys", KNOWN + LAST + length, body)


REQUESTS: Final[Mapping[str, tuple[bytes, int]]] = {
    # lines and heads that are no HTTP
    "no HTTP": (b"hello\r\n\r\n", 400),
    "bytes": (bytes(range(256)) + b"\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 400 + b"\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
    "HTTP/99": (b"GET /health HTTP/99.9\r\n" + KNOWN + b"\r\n", 400),
    "HTTP/0.9": (b"GET /health\r\n\r\n", 400),
    "a line break in the path": (b"GET /hea\nlth HTTP/1.1\r\n" + KNOWN + b"\r\n", 400),
    "NUL in a header": (request(b"GET /health", KNOWN + b"X: a\0b\r\n"), 400),
    "a header without colon": (request(b"GET /health", KNOWN + b"Nothing\r\n"), 400),
    "a space before the colon": (request(b"GET /health", KNOWN + b"X : a\r\n"), 400),
    "a folded first header": (b"GET /health HTTP/1.1\r\n X: a\r\n" + KNOWN + b"\r\n", 400),
    "a huge header": (request(b"GET /health", KNOWN + b"X: " + b"a" * 2**20 + b"\r\n"), 400),
    "very many headers": (request(b"GET /health", KNOWN + b"X: a\r\n" * 50_000), 400),
    "a huge path": (request(b"GET /" + b"a" * 2**20, KNOWN), 400),
    # two lengths, or none that can be meant
    "two lengths": (
        request(b"POST /mcp", KNOWN + b"Content-Length: 1\r\nContent-Length: 2\r\n", b"ab"),
        400,
    ),
    "a negative length": (request(b"POST /mcp", KNOWN + b"Content-Length: -1\r\n"), 400),
    "a length in words": (request(b"POST /mcp", KNOWN + b"Content-Length: ten\r\n"), 400),
    "an unknown coding": (request(b"POST /mcp", KNOWN + b"Transfer-Encoding: gzip\r\n"), 400),
    "a chunk of no size": (
        request(b"POST /keys", KNOWN + LAST + b"Transfer-Encoding: chunked\r\n", b"zz\r\n"),
        400,
    ),
    "a chunk of endless size": (
        request(
            b"POST /keys", KNOWN + LAST + b"Transfer-Encoding: chunked\r\n", b"f" * 400 + b"\r\n"
        ),
        400,
    ),
    # who asks
    "no Host": (b"GET /health HTTP/1.1\r\nAuthorization: Bearer TOKEN\r\n\r\n", 400),
    "two Hosts": (request(b"GET /health", KNOWN + LOCAL), 400),
    "a foreign Host": (
        request(b"GET /health", b"Host: evil.example:PORT\r\nAuthorization: Bearer TOKEN\r\n"),
        421,
    ),
    "a foreign Host that begins as ours": (
        request(b"GET /health", b"Host: 127.0.0.1.evil.example:PORT\r\n"),
        421,
    ),
    "a Host with a user": (request(b"GET /health", b"Host: 127.0.0.1@evil.example:80\r\n"), 421),
    "the wildcard Host": (request(b"GET /health", b"Host: 0.0.0.0:PORT\r\n"), 421),
    "an empty Host": (request(b"GET /health", b"Host: \r\n"), 421),
    "a foreign Origin": (request(b"GET /health", KNOWN + b"Origin: http://evil.example\r\n"), 403),
    "the Origin null": (request(b"GET /health", KNOWN + b"Origin: null\r\n"), 403),
    "an Origin of this machine with a user": (
        request(b"GET /health", KNOWN + b"Origin: http://x@127.0.0.1:1\r\n"),
        403,
    ),
    "a preflight of a foreign page": (
        request(
            b"OPTIONS /mcp",
            KNOWN + b"Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
        ),
        403,
    ),
    "an OPTIONS of a local page that is no preflight": (
        request(b"OPTIONS /mcp", LOCAL + b"Origin: http://localhost:6274\r\n"),
        401,
    ),
    "an Origin that begins as ours": (
        request(b"GET /health", KNOWN + b"Origin: http://127.0.0.1:PORT.evil.example\r\n"),
        403,
    ),
    "our Origin and a foreign one": (
        request(
            b"GET /health",
            KNOWN + b"Origin: http://127.0.0.1:PORT\r\nOrigin: http://evil.example\r\n",
        ),
        403,
    ),
    "our Origin without the token": (
        request(b"GET /health", LOCAL + b"Origin: http://127.0.0.1:PORT\r\n"),
        401,
    ),
    "a preflight": (
        request(b"OPTIONS /mcp", LOCAL + b"Origin: http://evil.example\r\n"),
        403,
    ),
    "no token": (request(b"GET /health", LOCAL), 401),
    "half a token": (request(b"GET /health", LOCAL + b"Authorization: Bearer TOKE\r\n"), 401),
    "another scheme": (request(b"GET /health", LOCAL + b"Authorization: Basic TOKEN\r\n"), 401),
    "two tokens": (request(b"GET /health", KNOWN + b"Authorization: Bearer x\r\n"), 401),
    "a token in the path": (request(b"GET /health?token=TOKEN", LOCAL), 401),
    "a body before the token": (
        request(b"POST /mcp", LOCAL + b"Content-Length: 99999999\r\n", b"x" * 1000),
        401,
    ),
    "a body that waits to be asked for": (
        request(b"POST /mcp", LOCAL + b"Expect: 100-continue\r\nContent-Length: 9999\r\n"),
        401,
    ),
    "an upgrade": (
        request(b"GET /mcp", LOCAL + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        401,
    ),
    # where to
    "dots": (request(b"GET /../../etc/passwd", KNOWN + LAST), 404),
    "dots in disguise": (request(b"GET /%2e%2e%2f%2e%2e%2fetc%2fpasswd", KNOWN + LAST), 404),
    "another host's address": (request(b"GET http://evil.example/health", KNOWN + LAST), 404),
    "a tunnel": (request(b"CONNECT evil.example:443", KNOWN + LAST), 404),
    "the keys, read": (request(b"GET /keys", KNOWN + LAST), 404),
    "the stop, read": (request(b"GET /stop", KNOWN + LAST), 404),
    "the stop, in disguise, no token": (request(b"POST /%73top", LOCAL), 401),
    # what is lent
    "PATH": (keys(b'{"PATH": "/tmp"}'), 400),
    "LD_PRELOAD beside a key": (keys(b'{"OPENAI_API_KEY": "k", "LD_PRELOAD": "/tmp/x.so"}'), 400),
    "PYTHONPATH": (keys(b'{"PYTHONPATH": "/tmp"}'), 400),
    "a proxy": (keys(b'{"HTTPS_PROXY": "http://evil.example"}'), 400),
    "a program for AWS": (keys(b'{"AWS_CONFIG_FILE": "/tmp/config"}'), 400),
    "NUL in a value": (keys(b'{"OPENAI_API_KEY": "a\\u0000b"}'), 400),
    "an address in two lines": (keys(b'{"OPENAI_BASE_URL": "http://x\\r\\nHost: y"}'), 400),
    "a lone surrogate": (keys(b'{"OPENAI_API_KEY": "\\ud800"}'), 400),
    "a list": (keys(b"[1]"), 400),
    "no JSON": (keys(b"{"), 400),
    "deep JSON": (keys(b'{"a":' * 10_000), 400),
    "very many keys": (keys(b'{"OPENAI_API_KEY": "' + b"k" * 100_000 + b'"}'), 400),
}


def test_every_hostile_request_is_refused_and_a_second_client_is_answered(target: Target) -> None:
    said: dict[str, tuple[bytes, int]] = {}
    with target.watched():
        for name, (raw, status) in REQUESTS.items():
            reply = reply_to(target, [raw])
            # A connection that is closed amid a long request may lose its reply.
            if not reply.startswith(b"HTTP/1.1 %d " % status) and not (
                reply == b"" and len(raw) > 100_000
            ):
                said[name] = reply[:80], status
    assert said == {}, said
    assert "Traceback" not in (target.home / "daemon.log").read_text(encoding="utf-8")


def test_a_refusal_names_the_variables_that_may_not_be_lent(target: Target) -> None:
    reply = reply_to(target, [keys(b'{"PATH": "/secret", "LD_PRELOAD": "x"}')]).decode()
    assert "may not be lent: LD_PRELOAD, PATH." in reply
    assert "/secret" not in reply


@pytest.mark.parametrize("address", ["127.0.0.1:PORT", "localhost:PORT", "localhost:6274"])
def test_a_page_of_this_machine_is_let_in_with_the_token(target: Target, address: str) -> None:
    origin = b"Origin: http://%b\r\n" % address.encode()
    health = reply_to(target, [request(b"GET /health", KNOWN + LAST + origin)])
    tools = reply_to(
        target,
        [
            request(
                b"POST /mcp",
                KNOWN
                + LAST
                + origin
                + JSON_BODY
                + b"".join(
                    b"%b: %b\r\n" % (n.encode(), v.encode()) for n, v in LIST_HEADERS.items()
                )
                + b"Content-Length: %d\r\n" % len(LIST),
                LIST,
            )
        ],
    )
    assert health.startswith(b"HTTP/1.1 200 ")
    assert tools.startswith(b"HTTP/1.1 200 ")
    assert b'"tools"' in tools


def test_a_browser_may_send_the_token_from_a_local_page_and_read_the_answer(
    target: Target,
) -> None:
    origin = b"Origin: http://localhost:6274\r\n"
    asks = (
        b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"
    )
    preflight = reply_to(target, [request(b"OPTIONS /mcp", LOCAL + origin + asks)]).lower()
    answer = reply_to(target, [request(b"GET /health", KNOWN + LAST + origin)]).lower()
    assert preflight.startswith(b"http/1.1 204 ")
    assert b"access-control-allow-headers: authorization," in preflight
    for reply in (preflight, answer):
        assert b"access-control-allow-origin: http://localhost:6274\r\n" in reply
    assert b"allow-origin" not in reply_to(target, [request(b"GET /health", KNOWN + LAST)])


def test_what_follows_a_refused_request_on_its_connection_is_not_answered(target: Target) -> None:
    reply = reply_to(target, [request(b"GET /health", LOCAL) + request(b"GET /health", KNOWN) * 3])
    assert reply.startswith(b"HTTP/1.1 401 ")
    assert reply.count(b"HTTP/1.1") == 1


def test_requests_in_a_row_are_each_held_to_the_token(target: Target) -> None:
    row = request(b"GET /health", KNOWN) * 3 + request(b"GET /health", LOCAL)
    assert reply_to(target, [row]).count(b"HTTP/1.1 200 ") == 3


SLOW: Final[Mapping[str, Sequence[bytes]]] = {
    "says nothing": [],
    "half a line": [b"GET /hea"],
    "half a head": [b"GET /health HTTP/1.1\r\n" + KNOWN],
    "a byte at a time": [bytes([byte]) for byte in b"GET /health HTTP/1.1\r\nX: " + b"a" * 400],
    "silence after an answer": [request(b"GET /health", KNOWN)],
    "a trickle after an answer": [request(b"GET /health", KNOWN), *([b"G"] + [b"E"] * 400)],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_connection_without_a_whole_head_is_closed_after_five_seconds(
    target: Target, name: str
) -> None:
    began = time.monotonic()
    with target.watched(), target.connect() as connection:
        connection.settimeout(0.1)
        pieces = list(SLOW[name])
        closed = False
        while not closed and time.monotonic() - began < 25:
            try:
                if pieces:
                    connection.sendall(target.text(pieces.pop(0)))
                closed = not connection.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
    assert closed
    assert time.monotonic() - began < 25


def test_a_thousand_silent_connections_keep_nobody_out(target: Target) -> None:
    before = target.log_size
    most = 0
    with target.watched(), ExitStack() as opened:
        for count in range(1_000):
            opened.enter_context(target.connect())
            if count % 50 == 0:
                most = max(most, target.open_files)
        most = max(most, target.open_files)
        time.sleep(1.0)
    assert most < OPEN_FILES - 50
    assert target.log_size - before < 100_000


def test_connections_that_come_without_end_keep_nobody_out(target: Target) -> None:
    before = target.log_size
    over = time.monotonic() + 4
    most = [0]

    def flood() -> None:
        with ExitStack() as opened:
            for count in range(100_000):
                if time.monotonic() > over:
                    return
                connection = opened.enter_context(target.connect())
                connection.sendall(b"\0\r\n\r\n" if count % 2 else b"GET /")
                if count % 100 == 99:
                    opened.pop_all().close()
                    most[0] = max(most[0], target.open_files)

    with target.watched():
        threads = [threading.Thread(target=flood) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert most[0] < OPEN_FILES - 50
    assert target.log_size - before < 100_000


def test_a_bomb_of_tiny_chunks_with_the_token_keeps_nobody_out(target: Target) -> None:
    head = request(b"POST /mcp", KNOWN + JSON_BODY + b"Transfer-Encoding: chunked\r\n")
    with target.watched():
        reply = reply_to(target, [head, *[b"1\r\nx\r\n" * 10_000] * 10, b"0\r\n\r\n"])
    assert reply.startswith(b"HTTP/1.1 4")


def test_the_daemon_that_was_attacked_still_serves(target: Target) -> None:
    daemon = Daemon(target.home)
    daemon.find()
    assert daemon.is_healthy()
    assert "Traceback" not in (target.home / "daemon.log").read_text(encoding="utf-8")
