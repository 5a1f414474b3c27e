"""The daemon of a home: where it listens, and how it is started."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiln_mcp import __version__
from kiln_mcp.doors.border.peers import fault_of_file
from kiln_mcp.doors.border.provider_variables import lendable, variables_of_servers
from kiln_mcp.doors.bridge.exchange import Address, Exchange, address_in
from kiln_mcp.home import prepare_home

START_WITHIN_S: Final = 30.0
SERVED_ALREADY: Final = 75
"""How a daemon ends that finds another in its home, which may be about to listen."""
OTHERS_WITHIN_S: Final = 10.0
STARTS_AFTER_KILLS: Final = 3
"""How often another is started in place of one that was killed before it could be found."""
LONGEST_WORDS: Final = 300
ANSWERS_WITHIN_S: Final = 10.0
"""How long a daemon that is well may take for an answer that needs no work."""
OWN_TO_A_CLIENT: Final = frozenset({"KILN_MCP_MODEL"})
"""What each client lends with its calls; the daemon that one of them starts serves others too."""
PATHS: Final = ("KILN_MCP_GGUF", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Variables that hold a path, which may begin in the client's folder."""


class DaemonUnreachable(Exception):
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


def is_outdated(running: str, own: str) -> bool:
    """Whether a running daemon is to be replaced by one's own version.

    A newer one is not: it serves older clients too, and two clients of different versions would
    replace each other's daemon for ever. Of two builds of one release nobody knows.
    """
    releases = [
        tuple(int(number) for number in re.findall(r"\d+", found.group()))
        if (found := re.match(r"[\d.]+", version))
        else ()
        for version in (running, own)
    ]
    return releases[0] < releases[1] or (releases[0] == releases[1] and running != own)


class Daemon:
    """Where the daemon of a home listens, and how it is started."""

    def __init__(self, home: Path, answers_within_s: float = ANSWERS_WITHIN_S) -> None:
        self.home = home
        self._answers_within_s = answers_within_s
        self.address = Address(0, "")
        self._finding = threading.Lock()

    def find(self, *, replacing: bool = False) -> None:
        """Find the running daemon, or start one.

        Args:
            replacing: Whether to replace an older one; its jobs go on in the next. Clients do
                so when they start and never later, lest a call of another's be broken twice.

        Raises:
            DaemonUnreachable: None runs, and none came up in time.
        """
        with self._finding:
            if self._is_there(replacing):
                return
            prepare_home(self.home)
            with (self.home / "start.lock").open("a") as lock:
                _lock(lock.fileno())  # of two clients that start at once, one starts it
                if self._is_there(replacing):
                    return
                if self._is_there():
                    self._stop()
                self._start()

    def _is_there(self, recent: bool = False) -> bool:
        file = self.home / "daemon.json"
        try:
            fault = fault_of_file(file)
            known: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
            address = address_in(file, known)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        if fault is not None:
            raise DaemonUnreachable(
                f"{file} {fault}, so nothing is sent to the daemon that it names. Remove it, and "
                "end that daemon if it is yours."
            )
        try:
            self._hear(address)
        except TimeoutError as error:
            raise DaemonUnreachable(
                f"The daemon (process {known.get('pid')}) does not answer. End that process, then "
                "ask again, which starts another; jobs go on by themselves."
            ) from error
        except (OSError, ValueError):
            return False
        self.address = address
        return not recent or not is_outdated(str(known.get("version")), __version__)

    def _hear(self, address: Address) -> None:
        """Hear anything of a daemon.

        Raises:
            TimeoutError: It is there and says nothing.
            OSError: It is not there, or not this person's.
            ValueError: What it says is no HTTP.
        """
        within_s = self._answers_within_s
        with Exchange(address, "GET", "/health", {}, b"", within_s=within_s) as exchange:
            exchange.send()

    def is_well(self) -> bool:
        """Whether the daemon answers; not whether the work goes on that it was asked for."""
        try:
            self._hear(self.address)
        except (OSError, ValueError):
            return False
        return True

    def _stop(self) -> None:
        """Ask an older daemon to end; its jobs go on in the next one."""
        try:
            with self._brief("/stop", b"") as exchange:
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
        keys = lendable(environment, variables_of_servers(self.home / "servers.json"))
        if not keys:
            return
        try:
            with self._brief("/keys", json.dumps(keys).encode()) as exchange:
                exchange.send()
        except (OSError, ValueError):
            return  # the first call that needs a key will name it

    def _brief(self, path: str, body: bytes) -> Exchange:
        return Exchange(self.address, "POST", path, {}, body, within_s=self._answers_within_s)

    def _start(self) -> None:
        begun_at = time.monotonic()
        until = begun_at + START_WITHIN_S
        process, begun = self._spawn()
        killed = 0
        while time.monotonic() < until:
            if self._is_there():
                return
            ended = process.poll()
            if ended == SERVED_ALREADY:
                until = min(until, begun_at + OTHERS_WITHIN_S)
            elif ended is not None and ended < 0 and killed < STARTS_AFTER_KILLS:
                killed += 1
                process, begun = self._spawn()
            elif ended is not None:
                raise DaemonUnreachable(f"The daemon did not start: {self._last_words(begun)}")
            time.sleep(0.02)
        within = f" within {until - begun_at:.0f} s"
        raise DaemonUnreachable(f"The daemon did not start{within}: {self._last_words(begun)}")

    def _spawn(self) -> "tuple[subprocess.Popen[bytes], int]":
        """Return the process of a new daemon, and where in the log its words begin.

        It works in the home, so that nothing in the folder of this client has a say in it.
        """
        program = "import sys; from kiln_mcp.doors.cli import main; sys.exit(main())"
        own = {name: v for name, v in os.environ.items() if name not in OWN_TO_A_CLIENT}
        own |= {name: str(Path(own[name]).expanduser().absolute()) for name in PATHS if name in own}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(self.home / "daemon.log", flags, 0o600), "ab") as log:
            if sys.platform != "win32":
                os.fchmod(log.fileno(), 0o600)
            begun = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.home,
                env={**own, "KILN_MCP_HOME": str(self.home)},
                start_new_session=True,
            )
        return process, begun

    def _last_words(self, begun: int) -> str:
        """Return the last line that the daemon wrote, and where the others are."""
        with (self.home / "daemon.log").open("rb") as log:
            log.seek(begun if begun <= log.seek(0, os.SEEK_END) else 0)  # a full one is cut
            lines = log.read().decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return f"{said[:LONGEST_WORDS].rstrip('.')}. All of it is in {self.home / 'daemon.log'}."


def _lock(file: int) -> None:
    """Wait for the lock on a file; it goes with the file."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
