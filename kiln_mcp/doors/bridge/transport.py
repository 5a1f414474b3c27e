"""The transport of messages between a client on stdio and the daemon."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from kiln_mcp.doors.bridge.discovery import ANSWERS_WITHIN_S, Daemon, DaemonUnreachable
from kiln_mcp.doors.bridge.envelope import modern_headers
from kiln_mcp.doors.bridge.http_client import DaemonAddress, Exchange
from kiln_mcp.doors.bridge.open_call import OpenCall
from kiln_mcp.doors.lines import ENDLESS, LAST_ANSWERS_S, Body, MessageError, parse_message, part_of

ATTEMPTS: Final = 6
"""How often one daemon gets the same request: a new daemon does not know the session."""
MOST_DAEMONS: Final = 12
"""How many daemons may end during one request."""
RETRY_PAUSE_S: Final = 0.1
PING_EVERY_S: Final = 15.0
"""How often a daemon is asked for its health while calls wait for its answers."""
MOST_SILENT: Final = 2
"""Consecutive pings without an answer after which the calls are cancelled."""
LARGEST_MESSAGE: Final = 4 * 2**20
"""The largest body that the daemon reads."""
TOO_LARGE: Final = -32600
FAILED: Final = -32603
OWN_ID: Final = "kiln-mcp-bridge"
UNKNOWN_SESSION: Final = "none"
"""A session that no daemon knows: a request with it begins another one."""


class Bridge:
    """Carries messages between a client on stdio and the daemon."""

    def __init__(
        self,
        daemon: Daemon,
        incoming: Iterable[bytes],
        outgoing: BinaryIO,
        client_headers: Mapping[str, str] = MappingProxyType({}),
        ping_every_s: float = PING_EVERY_S,
    ) -> None:
        """Set up without any contact.

        Args:
            daemon: The daemon, after `find`.
            incoming: The client's messages.
            outgoing: The messages to the client.
            client_headers: Headers of every request, with this client's own settings.
            ping_every_s: How often to ask for the daemon's health while calls wait.
        """
        self._daemon = daemon
        self._incoming = incoming
        self._outgoing = outgoing
        self._client_headers = client_headers
        self._writing = threading.Lock()
        self._open: dict[object, OpenCall] = {}
        self._threads: list[threading.Thread] = []
        self._first: Body | None = None
        self._subscriptions: dict[str, bytes] = {}
        self._session: dict[str, str] = {}
        self._renewing = threading.Lock()
        self._read_only_tools: set[object] | None = None
        self._is_closed = False
        self._ping_every_s = ping_every_s
        self._over = threading.Event()

    def run(self) -> None:
        """Carry messages until the client closes its side."""
        threading.Thread(target=self._watch, daemon=True).start()
        for line in self._incoming:
            if line.strip():
                self._take(line)
        self._is_closed = True
        for call in list(self._open.values()):
            if call.method == ENDLESS:
                call.cancel()
        until = time.monotonic() + LAST_ANSWERS_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._session or self._client_headers:  # a client of either era ends its session
            self._notify("DELETE", b"")
        self._over.set()

    def resume(self, handshake: Body, version: str) -> None:
        """Take over a session of the legacy era, whose handshake the client has an answer to."""
        self._first = handshake
        self._session = {"mcp-protocol-version": version, "mcp-session-id": UNKNOWN_SESSION}
        with suppress(OSError, ValueError):  # the next request renews it then
            self._open_session(handshake, self._session)

    def _watch(self) -> None:
        """Cancel the calls of a daemon that hangs.

        An answer may take as long as its work does, but a healthy daemon answers a ping at once.
        """
        silent = 0
        while not self._over.wait(self._ping_every_s):
            waiting = [call.exchange for call in list(self._open.values()) if call.exchange]
            silent = silent + 1 if waiting and not self._daemon.is_healthy() else 0
            if silent >= MOST_SILENT:
                for exchange in waiting:
                    exchange.cancel()

    def _take(self, line: bytes) -> None:
        try:
            message = parse_message(line)
        except MessageError as error:
            self._write_error(error.request_id, error.code, str(error))
            return
        if len(line) > LARGEST_MESSAGE:
            self._write_error(message.get("id"), TOO_LARGE, _size_sentence(len(line)))
        elif "method" in message and "id" in message:
            call = OpenCall(message, self._open.get(message["id"]))
            self._open[call.id] = call
            if call.method == "initialize":  # later requests need its session
                self._ask(message, line, call)
            else:
                self._in_thread(self._ask, message, line, call)
        elif message.get("method") == "notifications/cancelled" and self._cancel(message):
            return
        else:
            self._notify("POST", line)
            if message.get("method") == "notifications/initialized":
                threading.Thread(target=self._listen, daemon=True).start()

    def _in_thread(self, function: Any, *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _cancel(self, message: Body) -> bool:
        request_id = part_of(message, "params").get("requestId")
        call = self._open.get(request_id) if isinstance(request_id, int | str) else None
        return call is not None and call.cancel()

    def _ask(self, message: Body, line: bytes, call: OpenCall) -> None:
        """Carry a request to the daemon and its replies back; try again if the daemon ended."""
        if call.earlier is not None:
            call.earlier.over.wait()  # the daemon would answer only one of two with the same id
            call.earlier = None
        if call.method == "initialize":
            self._first, self._session = message, {}
        try:
            failure = self._try(message, line, call)
        finally:
            call.over.set()
            if self._open.get(call.id) is call:
                del self._open[call.id]
        if failure is not None and not (call.is_cancelled or call.has_answer):
            self._write_error(call.id, FAILED, failure)

    def _try(self, message: Body, line: bytes, call: OpenCall) -> str | None:
        """Carry a request; return the reason if that is impossible, else None."""
        attempts: Counter[DaemonAddress] = Counter()
        lost_daemons: set[DaemonAddress] = set()
        while True:
            session, address = dict(self._session), self._daemon.address
            attempts[address] += 1
            failure = "it does not know this session"
            try:
                if self._carry(message, line, call, session):
                    return None
                self._renew(session)
            except (OSError, ValueError) as error:
                if call.is_cancelled or call.has_answer:
                    return None  # at most the end of the reply is missing
                final = self._retry_fault(message, call, session)
                if final is not None:
                    return final
                failure = str(error)
                lost_daemons.add(address)
                if self._daemon.address == address:  # a dying daemon may still accept
                    time.sleep(RETRY_PAUSE_S)
            is_last = attempts[address] >= ATTEMPTS or len(lost_daemons) >= MOST_DAEMONS
            if self._is_closed or is_last:
                return self._loss_sentence(len(lost_daemons), failure)

    def _retry_fault(self, message: Body, call: OpenCall, session: Mapping[str, str]) -> str | None:
        """Find a daemon after a failure; return why the request must not be repeated, if so."""
        interruption = self._interruption(call)
        try:
            self._daemon.find()
        except (DaemonUnreachable, OSError) as reason:
            return f"{interruption} {reason}" if interruption else str(reason)
        if interruption is not None and not self._only_reads(message, call, session):
            return interruption
        return None

    def _loss_sentence(self, daemons: int, failure: str) -> str:
        """Return the sentence for daemons that ended during a repeatable request."""
        times = "" if daemons < 2 else f" {daemons} times in a row"
        return (
            f"The daemon ended{times}: {failure}. Ask again, which starts it if it does not run; "
            f"jobs continue by themselves. {self._daemon.home / 'daemon.log'} may say why."
        )

    def _interruption(self, call: OpenCall) -> str | None:
        """Return the sentence for a daemon that ended during a tool call; else None."""
        was_sent = call.exchange is not None and call.exchange.was_sent
        if not was_sent or call.method != "tools/call":
            return None
        return (
            f"The daemon ended while it worked on {call.name}, which may be done or not. Look at "
            "the project and its jobs first (jobs continue by themselves), then call it again if "
            "needed."
        )

    def _only_reads(self, message: Body, call: OpenCall, session: Mapping[str, str]) -> bool:
        """Return whether a tool changes nothing; ask the new daemon if the client never did."""
        for _ in range(ATTEMPTS):  # a dying daemon may still accept
            if self._read_only_tools is not None or self._is_closed:
                break
            with suppress(OSError, ValueError, DaemonUnreachable):
                self._daemon.find()
                if not call.headers:
                    self._renew(session)
                self._list_tools(part_of(part_of(message, "params"), "_meta"))
        return call.name in (self._read_only_tools or ())

    def _list_tools(self, meta: Body) -> None:
        """Ask the daemon for its tools with the client's own envelope."""
        envelope = {name: value for name, value in meta.items() if name != "progressToken"}
        request: Body = {"jsonrpc": "2.0", "id": OWN_ID, "method": "tools/list"}
        request["params"] = {"_meta": envelope}
        headers = modern_headers(request) or self._session
        with self._exchange("POST", headers, json.dumps(request).encode()) as exchange:
            exchange.send()
            for reply in exchange.messages():
                self._learn(request, json.loads(reply))

    def _exchange(
        self,
        method: str,
        headers: Mapping[str, str],
        line: bytes,
        *,
        within_s: float | None = ANSWERS_WITHIN_S,
    ) -> Exchange:
        every = {**self._client_headers, **headers}
        return Exchange(self._daemon.address, method, "/mcp", every, line, within_s=within_s)

    def _carry(
        self, message: Body, line: bytes, call: OpenCall, session: Mapping[str, str]
    ) -> bool:
        """Carry one request; False if the daemon does not know the session."""
        call.exchange = None
        headers = call.headers or session
        with self._exchange("POST", headers, line, within_s=None) as exchange:
            call.exchange = exchange
            if call.is_cancelled:
                return True
            exchange.send()
            if exchange.status == 404 and session and not call.headers:
                return False
            if call.method == "initialize":
                self._begin_session(call, exchange)
            else:
                self._pass_on(message, call, exchange)
            return True

    def _pass_on(self, message: Body, call: OpenCall, exchange: Exchange) -> None:
        """Carry the replies to a request back; the last one is its answer."""
        for reply in exchange.messages():
            body = part_of({"reply": json.loads(reply)}, "reply")
            if "method" not in body:
                call.has_answer = True
                if body.get("id") != call.id:  # refused before the daemon read the id
                    reply = json.dumps({**body, "id": call.id}).encode()
                self._learn(message, body)
            self._write(reply)
        if not call.has_answer:
            sentence = f"The daemon answered with HTTP status {exchange.status} alone."
            self._write_error(call.id, FAILED, sentence)

    def _learn(self, message: Body, answer: Body) -> None:
        """Keep what a repeated request to another daemon needs."""
        uri = part_of(message, "params").get("uri")
        match message["method"]:
            case "tools/list" if "result" in answer:
                tools = part_of(answer, "result").get("tools", ())
                read_only = (t for t in tools if part_of(t, "annotations").get("readOnlyHint"))
                self._read_only_tools = {tool.get("name") for tool in read_only}
            case "resources/subscribe" if "result" in answer:
                self._subscriptions[str(uri)] = json.dumps(message).encode()
            case "resources/unsubscribe":
                self._subscriptions.pop(str(uri), None)
            case _:
                pass

    def _begin_session(self, call: OpenCall, exchange: Exchange) -> None:
        """Keep the headers for later requests of the legacy era before the client continues."""
        replies = list(exchange.messages())
        for reply in replies:
            result = part_of(json.loads(reply), "result")
            if "protocolVersion" in result:
                self._session = {"mcp-protocol-version": str(result["protocolVersion"])}
                if "mcp-session-id" in exchange.headers:
                    self._session["mcp-session-id"] = exchange.headers["mcp-session-id"]
        for reply in replies:
            call.has_answer = True
            self._write(reply)

    def _renew(self, session: Mapping[str, str]) -> None:
        """Begin another legacy session after the daemon was started again."""
        with self._renewing:
            if self._first is None or self._session != session:
                return
            self._open_session(self._first, session)
            self._notify("POST", b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            for subscription in self._subscriptions.values():
                self._notify("POST", subscription)

    def _open_session(self, handshake: Body, session: Mapping[str, str]) -> None:
        """Repeat the client's handshake, and keep the headers of its answer."""
        with self._exchange("POST", {}, json.dumps(handshake).encode()) as exchange:
            exchange.send()
            for _ in exchange.messages():
                pass  # the client has its answer already
            self._session = {
                name: value
                for name, value in {**session, **exchange.headers}.items()
                if name in {"mcp-session-id", "mcp-protocol-version"}
            }

    def _notify(self, method: str, line: bytes) -> None:
        """Send a message without an answer."""
        message: Body = json.loads(line) if line else {}
        headers = modern_headers(message)
        # The daemon waits for an answer, such as a person's consent.
        is_answer = "id" in message and "method" not in message
        for attempt in range(ATTEMPTS if is_answer else 1):
            if attempt:
                time.sleep(RETRY_PAUSE_S)
            # If it is not reached, the next request finds the daemon again.
            with (
                suppress(OSError, ValueError),
                self._exchange(method, headers or self._session, line) as exchange,
            ):
                exchange.send()
                return

    def _listen(self) -> None:
        """Carry the server's own messages to a client of the legacy era."""
        while not self._is_closed and "mcp-session-id" in self._session:
            try:
                with self._exchange("GET", self._session, b"", within_s=None) as exchange:
                    exchange.send()
                    if exchange.status == 405:
                        return
                    if exchange.status == 200:
                        for message in exchange.messages():
                            self._write(message)
            except (OSError, ValueError):
                pass
            time.sleep(1)

    def _write(self, message: bytes) -> None:
        with self._writing, suppress(BrokenPipeError):  # the client has closed both sides
            self._outgoing.write(message.replace(b"\n", b" ") + b"\n")
            self._outgoing.flush()

    def _write_error(self, request_id: object, code: int, sentence: str) -> None:
        error = {"code": code, "message": sentence}
        self._write(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode())


def _size_sentence(size: int) -> str:
    return (
        f"This message has {size / 2**20:.1f} MiB, and {LARGEST_MESSAGE // 2**20} MiB are the "
        "most. Name a file by its path instead, or send it in parts."
    )
