"""Carries messages between a client on stdio and the daemon."""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from kiln_mcp.doors.bridge.discovery import ANSWERS_WITHIN_S, Daemon, DaemonUnreachable
from kiln_mcp.doors.bridge.envelope import modern_headers
from kiln_mcp.doors.bridge.exchange import Address, Exchange
from kiln_mcp.doors.lines import ENDLESS, LAST_ANSWERS_S, Body, NotAMessage, as_message, part_of

ATTEMPTS: Final = 6
"""How often one daemon is asked the same: one that was started anew does not know the session."""
MOST_DAEMONS: Final = 12
"""How many daemons may go away under one request."""
AGAIN_AFTER_S: Final = 0.1
LOOK_EVERY_S: Final = 15.0
"""How often a daemon is asked for a sign of life while calls wait for its answers."""
MOST_SILENT: Final = 2
"""After how many of these without an answer, one after another, the calls are given up."""
LARGEST_MESSAGE: Final = 4 * 2**20
"""What the daemon takes; it refuses more without reading it."""
TOO_LARGE: Final = -32600
FAILED: Final = -32603
OWN_ID: Final = "kiln-mcp-bridge"


class _Call:
    """A request that is not answered yet."""

    __slots__ = (
        "answered",
        "cancelled",
        "earlier",
        "exchange",
        "headers",
        "id",
        "method",
        "name",
        "over",
    )

    def __init__(self, message: Body, earlier: "_Call | None") -> None:
        self.id = message["id"]
        self.method: object = message["method"]
        self.name: object = part_of(message, "params").get("name")
        self.headers = modern_headers(message)
        self.earlier = earlier
        self.exchange: Exchange | None = None
        self.cancelled = False
        self.answered = False
        self.over = threading.Event()

    def cancel(self) -> bool:
        """Cancel a request of the modern era by closing its connection; False for others."""
        if not self.headers:
            return False
        self.cancelled = True
        if self.exchange is not None:
            self.exchange.give_up()
        return True


class Bridge:
    """Carries messages between a client on stdio and the daemon."""

    def __init__(
        self,
        daemon: Daemon,
        incoming: BinaryIO,
        outgoing: BinaryIO,
        lent: Mapping[str, str] = MappingProxyType({}),
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Set up without any contact.

        Args:
            daemon: The daemon, found.
            incoming: What the client says.
            outgoing: What it hears.
            lent: Headers for every request: this client's own settings.
            look_every_s: How often to ask for a sign of life while calls wait.
        """
        self._daemon = daemon
        self._incoming = incoming
        self._outgoing = outgoing
        self._lent = lent
        self._writing = threading.Lock()
        self._open: dict[object, _Call] = {}
        self._threads: list[threading.Thread] = []
        self._first: Body | None = None
        self._followed: dict[str, bytes] = {}
        self._session: dict[str, str] = {}
        self._renewing = threading.Lock()
        self._harmless: set[object] | None = None
        self._ended = False
        self._look_every_s = look_every_s
        self._over = threading.Event()

    def run(self) -> None:
        """Carry messages until the client closes its side."""
        threading.Thread(target=self._watch, daemon=True).start()
        for line in self._incoming:
            if line.strip():
                self._take(line)
        self._ended = True
        for call in list(self._open.values()):
            if call.method == ENDLESS:
                call.cancel()
        until = time.monotonic() + LAST_ANSWERS_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._session or self._lent:  # a client of either era says goodbye
            self._quietly("DELETE", b"")
        self._over.set()

    def _watch(self) -> None:
        """Give up the calls of a daemon that hangs: an answer may take as long as the work does.

        A daemon that is well answers at once, whatever it works on.
        """
        silent = 0
        while not self._over.wait(self._look_every_s):
            waiting = [call.exchange for call in list(self._open.values()) if call.exchange]
            silent = silent + 1 if waiting and not self._daemon.is_well() else 0
            if silent >= MOST_SILENT:
                for exchange in waiting:
                    exchange.give_up()

    def _take(self, line: bytes) -> None:
        try:
            message = as_message(line)
        except NotAMessage as error:
            self._write_error(error.request_id, error.code, str(error))
            return
        if len(line) > LARGEST_MESSAGE:
            size = f"{len(line) / 2**20:.1f} MiB, and {LARGEST_MESSAGE // 2**20} MiB are the most"
            said = f"This message has {size}. Name a file by its path instead, or send it in parts."
            self._write_error(message.get("id"), TOO_LARGE, said)
        elif "method" in message and "id" in message:
            call = _Call(message, self._open.get(message["id"]))
            self._open[call.id] = call
            if call.method == "initialize":  # what comes after it needs the session
                self._ask(message, line, call)
            else:
                self._in_thread(self._ask, message, line, call)
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
        wanted = part_of(message, "params").get("requestId")
        call = self._open.get(wanted) if isinstance(wanted, int | str) else None
        return call is not None and call.cancel()

    def _ask(self, message: Body, line: bytes, call: _Call) -> None:
        """Carry a request there and its replies back; once again where the daemon was gone."""
        if call.earlier is not None:
            call.earlier.over.wait()  # of two with one id the daemon would answer one
            call.earlier = None
        if call.method == "initialize":
            self._first, self._session = message, {}
        try:
            failure = self._try(message, line, call)
        finally:
            call.over.set()
            if self._open.get(call.id) is call:
                del self._open[call.id]
        if failure is not None and not (call.cancelled or call.answered):
            self._write_error(call.id, FAILED, failure)

    def _try(self, message: Body, line: bytes, call: _Call) -> str | None:
        """Return why a request could not be carried; None where it was."""
        tried: Counter[Address] = Counter()
        gone: set[Address] = set()
        while True:
            session, asked = dict(self._session), self._daemon.address
            tried[asked] += 1
            failure = "it does not know this session"
            try:
                if self._carry(message, line, call, session):
                    return None
                self._renew(session)
            except (OSError, ValueError) as error:
                if call.cancelled or call.answered:
                    return None  # at most the end of the reply was lost
                final = self._not_again(message, call, session)
                if final is not None:
                    return final
                failure = str(error)
                gone.add(asked)
                if self._daemon.address == asked:  # one that is being killed may still let us in
                    time.sleep(AGAIN_AFTER_S)
            if self._ended or tried[asked] >= ATTEMPTS or len(gone) >= MOST_DAEMONS:
                return self._gone(len(gone), failure)

    def _not_again(self, message: Body, call: _Call, session: Mapping[str, str]) -> str | None:
        """Find a daemon after one failed; return why it must not be asked the same, if so."""
        midway = self._midway(call)
        try:
            self._daemon.find()
        except (DaemonUnreachable, OSError) as reason:
            return f"{midway} {reason}" if midway else str(reason)
        if midway is not None and not self._only_reads(message, call, session):
            return midway
        return None

    def _gone(self, daemons: int, failure: str) -> str:
        """Say that daemons went away under a request that may be made again."""
        times = "" if daemons < 2 else f" {daemons} times in a row"
        return (
            f"The daemon went away{times}: {failure}. Ask again, which starts it anew where it has "
            f"ended; jobs go on by themselves. {self._daemon.home / 'daemon.log'} may say why."
        )

    def _midway(self, call: _Call) -> str | None:
        """Say that the daemon ended amid what must not be done twice; None for all else."""
        sent = call.exchange is not None and call.exchange.sent
        if not sent or call.method != "tools/call":
            return None
        return (
            f"The daemon ended while it worked on {call.name}, which may be done or not. Look at "
            "what is there now (jobs go on by themselves: list_jobs); call it again where needed."
        )

    def _only_reads(self, message: Body, call: _Call, session: Mapping[str, str]) -> bool:
        """Whether a tool changes nothing; asks the new daemon where the client never did."""
        for _ in range(ATTEMPTS):  # one that is being killed may still let us in
            if self._harmless is not None or self._ended:
                break
            with suppress(OSError, ValueError, DaemonUnreachable):
                self._daemon.find()
                if not call.headers:
                    self._renew(session)
                self._list_tools(part_of(part_of(message, "params"), "_meta"))
        return call.name in (self._harmless or ())

    def _list_tools(self, meta: Body) -> None:
        """Ask the daemon for its tools, as the client whose envelope this is."""
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
        lent = {**self._lent, **headers}
        return Exchange(self._daemon.address, method, "/mcp", lent, line, within_s=within_s)

    def _carry(self, message: Body, line: bytes, call: _Call, session: Mapping[str, str]) -> bool:
        """Carry one request; False where the daemon has forgotten the session."""
        call.exchange = None
        headers = call.headers or session
        with self._exchange("POST", headers, line, within_s=None) as exchange:
            call.exchange = exchange
            if call.cancelled:
                return True
            exchange.send()
            if exchange.status == 404 and session and not call.headers:
                return False
            if call.method == "initialize":
                self._begin_session(call, exchange)
            else:
                self._pass_on(message, call, exchange)
            return True

    def _pass_on(self, message: Body, call: _Call, exchange: Exchange) -> None:
        """Carry the replies to a request back, of which the last is its answer."""
        for reply in exchange.messages():
            heard = part_of({"heard": json.loads(reply)}, "heard")
            if "method" not in heard:
                call.answered = True
                if heard.get("id") != call.id:  # what the daemon refused before it read the id
                    reply = json.dumps({**heard, "id": call.id}).encode()
                self._learn(message, heard)
            self._write(reply)
        if not call.answered:
            said = f"The daemon answered with HTTP status {exchange.status} alone."
            self._write_error(call.id, FAILED, said)

    def _learn(self, message: Body, answer: Body) -> None:
        """Keep what is to be known where the daemon has to be asked again."""
        uri = part_of(message, "params").get("uri")
        match message["method"]:
            case "tools/list" if "result" in answer:
                tools = part_of(answer, "result").get("tools", ())
                harmless = (t for t in tools if part_of(t, "annotations").get("readOnlyHint"))
                self._harmless = {tool.get("name") for tool in harmless}
            case "resources/subscribe" if "result" in answer:
                self._followed[str(uri)] = json.dumps(message).encode()
            case "resources/unsubscribe":
                self._followed.pop(str(uri), None)
            case _:
                pass

    def _begin_session(self, call: _Call, exchange: Exchange) -> None:
        """Keep what later requests of the legacy era must carry, before the client may go on."""
        replies = list(exchange.messages())
        for reply in replies:
            result = part_of(json.loads(reply), "result")
            if "protocolVersion" in result:
                self._session = {"mcp-protocol-version": str(result["protocolVersion"])}
                if "mcp-session-id" in exchange.headers:
                    self._session["mcp-session-id"] = exchange.headers["mcp-session-id"]
        for reply in replies:
            call.answered = True
            self._write(reply)

    def _renew(self, lost: Mapping[str, str]) -> None:
        """Begin the legacy session anew after the daemon was started again."""
        with self._renewing:
            if self._first is None or self._session != lost:
                return
            line = json.dumps(self._first).encode()
            with self._exchange("POST", {}, line) as exchange:
                exchange.send()
                for _ in exchange.messages():
                    pass  # the client has had its answer to this
                self._session = {
                    name: value
                    for name, value in {**lost, **exchange.headers}.items()
                    if name in {"mcp-session-id", "mcp-protocol-version"}
                }
            self._quietly("POST", b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            for subscription in self._followed.values():
                self._quietly("POST", subscription)

    def _quietly(self, method: str, line: bytes) -> None:
        """Send what has no answer."""
        message: Body = json.loads(line) if line else {}
        headers = modern_headers(message)
        # Somebody at the other end waits for an answer, such as a person's agreement.
        is_answer = "id" in message and "method" not in message
        for attempt in range(ATTEMPTS if is_answer else 1):
            if attempt:
                time.sleep(AGAIN_AFTER_S)
            # Where it is not reached, the next request finds the daemon again.
            with (
                suppress(OSError, ValueError),
                self._exchange(method, headers or self._session, line) as exchange,
            ):
                exchange.send()
                return

    def _listen(self) -> None:
        """Carry what the server says by itself to a client of the legacy era."""
        while not self._ended and "mcp-session-id" in self._session:
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
        with self._writing, suppress(BrokenPipeError):  # a client that is gone closed both sides
            self._outgoing.write(message.replace(b"\n", b" ") + b"\n")
            self._outgoing.flush()

    def _write_error(self, request_id: object, code: int, sentence: str) -> None:
        error = {"code": code, "message": sentence}
        self._write(json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}).encode())
