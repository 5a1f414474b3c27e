"""What a client starts over stdio: carries messages to and from the daemon of this machine.

On the standard library alone and in one file, so that it is up in a few hundredths of a second:
the daemon has long imported what takes time. It speaks both protocol eras, starts the daemon
where none runs, and where that fails, or KILN_MCP_DAEMON is "off", serves MCP in its own process.
"""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from kiln_mcp import __version__

START_WITHIN_S: Final = 30.0
LAST_ANSWERS_S: Final = 5.0
KEY_ENDINGS: Final = ("_API_KEY", "_BASE_URL", "_API_BASE")
ATTEMPTS: Final = 6
"""Two a daemon that is gone: the one started anew does not know the session."""
LONGEST_HEAD: Final = 65_536
VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
NAME_KEYS: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_HEADER_SAFE: Final = re.compile(r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")

Body = dict[str, Any]  # a JSON-RPC message, passed on as it is


class DaemonUnreachable(Exception):  # noqa: N818 - this file knows none of our other errors
    """No daemon runs here, and none could be started."""


def home_folder(environment: Mapping[str, str], platform: str) -> Path:
    """Return the per-user home; the same as `Settings`, without what that imports."""
    chosen = environment.get("KILN_MCP_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if platform == "win32":
        local = environment.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(local, "kiln-mcp")
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "kiln-mcp"
    data = environment.get("XDG_DATA_HOME", "").strip()
    return (Path(data) if data else Path.home() / ".local" / "share") / "kiln-mcp"


# ---------------------------------------------------------------- the daemon


class Daemon:
    """Where the daemon of a home listens, and how it is started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = 0
        self.token = ""
        self._finding = threading.Lock()

    def find(self) -> None:
        """Find the running daemon, or start one.

        Raises:
            DaemonUnreachable: None runs, and none came up in time.
        """
        with self._finding:
            if self._is_there():
                return
            self.home.mkdir(parents=True, exist_ok=True)
            with (self.home / "start.lock").open("a") as lock:
                _lock(lock.fileno())  # of two clients that start at once, one starts it
                if not self._is_there():
                    self._start()

    def connect(self) -> socket.socket:
        """Open a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def _is_there(self) -> bool:
        try:
            known = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))
            self.port, self.token = int(known["port"]), str(known["token"])
            self.connect().close()
        except (OSError, ValueError, KeyError):
            return False
        if known.get("version") != __version__:
            self._stop_other_version()
            return False
        return True

    def _stop_other_version(self) -> None:
        """Ask a daemon of another version to end; its jobs go on in the next one."""
        try:
            with Exchange(self, "POST", "/stop", {}, b"") as exchange:
                exchange.send()
        except OSError:
            return
        until = time.monotonic() + START_WITHIN_S
        while (self.home / "daemon.json").exists() and time.monotonic() < until:
            time.sleep(0.05)

    def lend_keys(self, environment: Mapping[str, str]) -> None:
        """Give the daemon the providers' keys that this client was configured with.

        The daemon may have been started by another client, whose environment has none.
        """
        keys = {name: value for name, value in environment.items() if name.endswith(KEY_ENDINGS)}
        if not keys:
            return
        try:
            with Exchange(self, "POST", "/keys", {}, json.dumps(keys).encode()) as exchange:
                exchange.send()
        except (OSError, ValueError):
            return  # the first call that needs a key will name it

    def _start(self) -> None:
        program = "import sys; from kiln_mcp.cli import main; sys.exit(main())"
        with (self.home / "daemon.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "KILN_MCP_HOME": str(self.home)},
                start_new_session=True,
            )
        until = time.monotonic() + START_WITHIN_S
        while time.monotonic() < until:
            if self._is_there():
                return
            if process.poll() is not None:
                break
            time.sleep(0.02)
        raise DaemonUnreachable(
            f"kiln-mcp: the daemon did not start (see {self.home / 'daemon.log'}); "
            "serving from this process instead, where jobs end with it."
        )


def _lock(file: int) -> None:
    """Wait for the lock on a file; it goes with the file."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


# ---------------------------------------------------------------- HTTP, as much as is needed


class Exchange:
    """One HTTP request and its reply, on a connection of its own."""

    def __init__(
        self, daemon: Daemon, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{daemon.port}",
            f"Authorization: Bearer {daemon.token}",
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._socket = daemon.connect()
        self._socket.settimeout(None)  # a reply may take as long as the work does
        self._reply: BinaryIO = self._socket.makefile("rb")
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent = False
        self.given_up = False

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self._reply.close()
        self._socket.close()

    def send(self) -> None:
        """Send the request and read the reply's head."""
        self._socket.sendall(self._request)
        self.sent = True
        status = self._reply.readline(LONGEST_HEAD).split(b" ", 2)
        if len(status) < 2:
            raise ConnectionError("the daemon closed the connection")
        self.status = int(status[1])
        while line := self._reply.readline(LONGEST_HEAD).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def give_up(self) -> None:
        """Close the connection, from any thread: that is how a request is cancelled."""
        self.given_up = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = self.headers.get("content-length")
            yield self._reply.read(-1 if length is None else int(length))
            return
        while size := self._next_size():
            yield self._reply.read(size)
            self._reply.readline()

    def _next_size(self) -> int:
        line = self._reply.readline(LONGEST_HEAD)
        if not line:  # a reply that is whole ends with a piece of no size
            raise ConnectionError("the daemon ended in the middle of its answer")
        return int(line.split(b";")[0], 16)

    def messages(self) -> Iterator[bytes]:
        """Return the JSON-RPC messages of the reply as they come."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            whole = b"".join(self._pieces()).strip()
            if whole:
                yield whole
            return
        rest = b""
        for piece in self._pieces():
            *events, rest = (rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in events:
                data = [line[5:].strip() for line in event.split(b"\n") if line[:5] == b"data:"]
                if any(data):
                    yield b"\n".join(data)


# ---------------------------------------------------------------- the bridge


class Bridge:
    """Carries messages between a client on stdio and the daemon."""

    def __init__(self, daemon: Daemon, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._daemon = daemon
        self._incoming = incoming
        self._outgoing = outgoing
        self._writing = threading.Lock()
        self._open: dict[object, tuple[Exchange | None, bool]] = {}
        self._threads: list[threading.Thread] = []
        self._first: Body | None = None
        self._session: dict[str, str] = {}
        self._renewing = threading.Lock()
        self._harmless: set[str] = set()
        self._ended = False

    def run(self) -> None:
        """Carry messages until the client closes its side."""
        for line in self._incoming:
            if line.strip():
                self._take(line)
        self._ended = True
        until = time.monotonic() + LAST_ANSWERS_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._session:
            self._quietly("DELETE", b"")

    def _take(self, line: bytes) -> None:
        try:
            parsed = json.loads(line)
        except ValueError:
            self._write_error(None, -32700, "This line is not JSON.")
            return
        if not isinstance(parsed, dict):
            self._write_error(None, -32600, "A message must be a JSON object.")
            return
        message = cast("Body", parsed)
        if "method" in message and "id" in message:
            self._in_thread(self._ask, message, line)
        elif message.get("method") == "notifications/cancelled" and self._cancel(message):
            return
        else:
            self._quietly("POST", line)
            if message.get("method") == "notifications/initialized":
                threading.Thread(target=self._listen, daemon=True).start()

    def _in_thread(self, function: Any, *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _cancel(self, message: Body) -> bool:
        """Cancel a request of the modern era by closing its connection; False for others."""
        wanted = _part(message, "params").get("requestId")
        exchange, modern = self._open.get(wanted, (None, False))
        if modern and exchange is not None:
            exchange.give_up()
        return modern

    def _ask(self, message: Body, line: bytes) -> None:
        """Carry a request there and its replies back; once again where the daemon was gone."""
        first = message["method"] == "initialize"
        if first:
            self._first, self._session = message, {}
        modern = _modern_headers(message)
        for attempt in range(ATTEMPTS):
            session = dict(self._session)
            try:
                if self._carry(message, line, modern or session, is_modern=bool(modern)):
                    return
                self._renew(session)
            except (OSError, ValueError) as error:
                if attempt == ATTEMPTS - 1 or self._ended:
                    self._write_error(message["id"], -32603, f"The daemon went away: {error}.")
                    return
                try:
                    self._daemon.find()
                except DaemonUnreachable as reason:
                    self._write_error(message["id"], -32603, str(reason))
                    return
        self._write_error(message["id"], -32603, "The daemon does not know this session.")

    def _carry(
        self, message: Body, line: bytes, headers: Mapping[str, str], *, is_modern: bool
    ) -> bool:
        """Carry one request; False where the daemon has forgotten the session."""
        with Exchange(self._daemon, "POST", "/mcp", headers, line) as exchange:
            self._open[message["id"]] = (exchange, is_modern)
            try:
                exchange.send()
                if exchange.status == 404 and self._session and not is_modern:
                    return False
                if message["method"] == "initialize":
                    self._begin_session(exchange)
                    return True
                self._pass_on(message, exchange)
            except (OSError, ValueError):
                if not (exchange.given_up or self._ended_midway(message, exchange)):
                    raise
            finally:
                self._open.pop(message["id"], None)
        return True

    def _pass_on(self, message: Body, exchange: Exchange) -> None:
        reply = b""
        try:
            for reply in exchange.messages():
                self._write(reply)
        except (OSError, ValueError):
            if reply and json.loads(reply).get("id") == message["id"]:
                return  # only the end of the reply was lost
            raise
        if not reply and exchange.status >= 400:
            said = f"The daemon answered with HTTP status {exchange.status}."
            self._write_error(message["id"], -32603, said)
        if reply and message["method"] == "tools/list":
            for tool in _part(json.loads(reply), "result").get("tools", ()):
                if _part(tool, "annotations").get("readOnlyHint"):
                    self._harmless.add(tool["name"])

    def _ended_midway(self, message: Body, exchange: Exchange) -> bool:
        """Say that the daemon ended amid what must not be done twice; False for all else."""
        name = _part(message, "params").get("name")
        if not exchange.sent or message["method"] != "tools/call" or name in self._harmless:
            return False
        self._write_error(
            message["id"],
            -32603,
            f"The daemon ended while it worked on {name}, which may be done or not. Look at what "
            "is there now (jobs go on by themselves: list_jobs); call it again where needed.",
        )
        with suppress(DaemonUnreachable):
            self._daemon.find()
        return True

    def _begin_session(self, exchange: Exchange) -> None:
        """Keep what later requests of the legacy era must carry, before the client may go on."""
        replies = list(exchange.messages())
        for reply in replies:
            result = _part(json.loads(reply), "result")
            if "protocolVersion" in result:
                self._session = {"mcp-protocol-version": str(result["protocolVersion"])}
                if "mcp-session-id" in exchange.headers:
                    self._session["mcp-session-id"] = exchange.headers["mcp-session-id"]
        for reply in replies:
            self._write(reply)

    def _renew(self, lost: Mapping[str, str]) -> None:
        """Begin the legacy session anew after the daemon was started again."""
        with self._renewing:
            if self._first is None or self._session != lost:
                return
            line = json.dumps(self._first).encode()
            with Exchange(self._daemon, "POST", "/mcp", {}, line) as exchange:
                exchange.send()
                for _ in exchange.messages():
                    pass  # the client has had its answer to this
                self._session = {
                    name: value
                    for name, value in {**lost, **exchange.headers}.items()
                    if name in {"mcp-session-id", "mcp-protocol-version"}
                }
            self._quietly("POST", b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def _quietly(self, method: str, line: bytes) -> None:
        """Send what has no answer."""
        headers = _modern_headers(json.loads(line)) if line else {}
        try:
            with Exchange(self._daemon, method, "/mcp", headers or self._session, line) as exchange:
                exchange.send()
        except (OSError, ValueError):
            return  # the next request finds the daemon again

    def _listen(self) -> None:
        """Carry what the server says by itself to a client of the legacy era."""
        while not self._ended and "mcp-session-id" in self._session:
            try:
                with Exchange(self._daemon, "GET", "/mcp", self._session, b"") as exchange:
                    exchange.send()
                    if exchange.status == 405:
                        return
                    for message in exchange.messages():
                        self._write(message)
            except (OSError, ValueError):
                pass
            time.sleep(1)

    def _write(self, message: bytes) -> None:
        with self._writing:
            self._outgoing.write(message.replace(b"\n", b" ") + b"\n")
            self._outgoing.flush()

    def _write_error(self, request_id: object, code: int, sentence: str) -> None:
        error = {"code": code, "message": sentence}
        self._write(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode())


def _part(message: Body, key: str) -> Body:
    """Return an object in a message; an empty one where there is none."""
    part = message.get(key)
    return cast("Body", part) if isinstance(part, dict) else {}


def _modern_headers(message: Body) -> dict[str, str]:
    """Return the headers that repeat a modern message's envelope; none for the legacy era."""
    parameters = _part(message, "params")
    version = _part(parameters, "_meta").get(VERSION_KEY)
    if not isinstance(version, str):
        return {}
    headers = {"mcp-protocol-version": version, "mcp-method": str(message.get("method"))}
    name = parameters.get(NAME_KEYS.get(str(message.get("method")), ""))
    if isinstance(name, str):
        headers["mcp-name"] = _header_value(name)
    return headers


def _header_value(value: str) -> str:
    if _HEADER_SAFE.match(value) and not value.startswith("=?base64?"):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _serve_here(reason: str) -> int:
    """Serve MCP in this process."""
    sys.stderr.write(f"{reason}\n")
    from kiln_mcp.cli import serve_over_stdio

    serve_over_stdio()
    return 0


def main() -> int:
    """Bridge where no command is given; else run the command line."""
    if len(sys.argv) > 1 or sys.stdin.isatty():
        from kiln_mcp.cli import main as command_line

        command_line()
        return 0
    daemon = Daemon(home_folder(os.environ, sys.platform))
    if os.environ.get("KILN_MCP_DAEMON") == "off":
        return _serve_here("kiln-mcp: no daemon, as KILN_MCP_DAEMON says; jobs pause at the end.")
    try:
        daemon.find()
    except (DaemonUnreachable, OSError) as error:
        return _serve_here(str(error))
    daemon.lend_keys(os.environ)
    try:
        Bridge(daemon, sys.stdin.buffer, sys.stdout.buffer).run()
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
    return 0
