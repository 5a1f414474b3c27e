"""Discovery of a home's daemon: its address, and its start if none runs."""

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
from kiln_mcp.doors.bridge.http_client import DaemonAddress, Exchange, address_in
from kiln_mcp.home import prepare_home

START_WITHIN_S: Final = 30.0
SERVED_ALREADY: Final = 75
"""Exit code of a daemon that finds another in its home, which may be about to listen."""
OTHERS_WITHIN_S: Final = 10.0
STARTS_AFTER_KILLS: Final = 3
"""How often a daemon is started again after one was killed before it answered."""
LONGEST_QUOTE: Final = 300
ANSWERS_WITHIN_S: Final = 10.0
"""Seconds that a healthy daemon may take for an answer that needs no work."""
OWN_TO_A_CLIENT: Final = frozenset({"KILN_MCP_MODEL"})
"""Variables that each client sends with its calls; a daemon serves several clients."""
PATHS: Final = ("KILN_MCP_GGUF", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Variables that hold a path, which may be relative to the client's folder."""


class DaemonUnreachable(Exception):
    """No daemon runs here, and none could be started."""


def home_folder(environment: Mapping[str, str], platform: str) -> Path:
    """Return the home as `Settings` does, without its imports."""
    folder = environment.get("KILN_MCP_HOME")
    if folder:
        return Path(folder).expanduser().absolute()
    if platform == "win32":
        local = environment.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(local, "kiln-mcp")
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "kiln-mcp"
    data = environment.get("XDG_DATA_HOME", "").strip()
    return (Path(data) if data else Path.home() / ".local" / "share") / "kiln-mcp"


def is_outdated(running: str, own: str) -> bool:
    """Return whether a running daemon should be replaced by this program's version.

    A newer daemon stays: it serves older clients too, and two clients of different versions would
    replace each other's daemon for ever. Two different builds of one release replace each other,
    because their order is unknown.
    """
    releases = [
        tuple(int(number) for number in re.findall(r"\d+", match.group()))
        if (match := re.match(r"[\d.]+", version))
        else ()
        for version in (running, own)
    ]
    return releases[0] < releases[1] or (releases[0] == releases[1] and running != own)


class Daemon:
    """The daemon of a home, as a client finds and starts it.

    Attributes:
        home: The home.
        address: Where the daemon listens; valid after `find`.
    """

    def __init__(self, home: Path, answers_within_s: float = ANSWERS_WITHIN_S) -> None:
        self.home = home
        self._answers_within_s = answers_within_s
        self.address = DaemonAddress(0, "")
        self._find_lock = threading.Lock()

    def find(self, *, replacing: bool = False) -> None:
        """Find the running daemon, or start one.

        Args:
            replacing: Whether to replace an older one, whose jobs continue in the next. Clients
                do so only when they start, so that a call of another client is broken once at
                most.

        Raises:
            DaemonUnreachable: None runs, and none started in time.
        """
        with self._find_lock:
            if self._is_running(replacing):
                return
            prepare_home(self.home)
            with (self.home / "start.lock").open("a") as lock:
                _lock(lock.fileno())  # only one of two clients starts it
                if self._is_running(replacing):
                    return
                if self._is_running():
                    self._stop()
                self._start()

    def _is_running(self, recent: bool = False) -> bool:
        file = self.home / "daemon.json"
        try:
            fault = fault_of_file(file)
            content: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
            address = address_in(file, content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        if fault is not None:
            raise DaemonUnreachable(
                f"{file} {fault}, so nothing is sent to the daemon that it names. Remove it, and "
                "end that daemon if it is yours."
            )
        try:
            self._ping(address)
        except TimeoutError as error:
            raise DaemonUnreachable(
                f"The daemon (process {content.get('pid')}) does not answer. End that process, "
                "then ask again, which starts another one; jobs continue by themselves."
            ) from error
        except (OSError, ValueError):
            return False
        self.address = address
        return not recent or not is_outdated(str(content.get("version")), __version__)

    def _ping(self, address: DaemonAddress) -> None:
        """Ask a daemon for its health.

        Raises:
            TimeoutError: It listens and does not answer.
            OSError: It does not listen, or belongs to another person.
            ValueError: Its answer is not HTTP.
        """
        within_s = self._answers_within_s
        with Exchange(address, "GET", "/health", {}, b"", within_s=within_s) as exchange:
            exchange.send()

    def is_running(self) -> bool:
        """Return whether a daemon of this version or a newer one answers; start none.

        Raises:
            DaemonUnreachable: One listens and does not answer.
        """
        return self._is_running(recent=True)

    def is_healthy(self) -> bool:
        """Return whether the daemon answers; this says nothing about the progress of its work."""
        try:
            self._ping(self.address)
        except (OSError, ValueError):
            return False
        return True

    def _stop(self) -> None:
        """Ask an older daemon to end; its jobs continue in the next one."""
        try:
            with self._request("/stop", b"") as exchange:
                exchange.send()
        except OSError:
            return
        until = time.monotonic() + START_WITHIN_S
        while (self.home / "daemon.json").exists() and time.monotonic() < until:
            time.sleep(0.05)

    def lend_keys(self, environment: Mapping[str, str]) -> None:
        """Lend the daemon the providers' keys of this client's environment.

        The daemon may have been started by another client, whose environment has no keys.
        """
        keys = lendable(environment, variables_of_servers(self.home / "servers.json"))
        if not keys:
            return
        try:
            with self._request("/keys", json.dumps(keys).encode()) as exchange:
                exchange.send()
        except (OSError, ValueError):
            return  # the first call that needs a key will name it

    def _request(self, path: str, body: bytes) -> Exchange:
        return Exchange(self.address, "POST", path, {}, body, within_s=self._answers_within_s)

    def _start(self) -> None:
        start_s = time.monotonic()
        until = start_s + START_WITHIN_S
        process, log_start = self._spawn()
        kills = 0
        while time.monotonic() < until:
            if self._is_running():
                return
            exit_code = process.poll()
            if exit_code == SERVED_ALREADY:
                until = min(until, start_s + OTHERS_WITHIN_S)
            elif exit_code is not None and exit_code < 0 and kills < STARTS_AFTER_KILLS:
                kills += 1
                process, log_start = self._spawn()
            elif exit_code is not None:
                raise DaemonUnreachable(f"The daemon did not start: {self._last_line(log_start)}")
            time.sleep(0.02)
        within = f" within {until - start_s:.0f} s"
        raise DaemonUnreachable(f"The daemon did not start{within}: {self._last_line(log_start)}")

    def _spawn(self) -> "tuple[subprocess.Popen[bytes], int]":
        """Start a daemon; return its process and the offset of its lines in the log.

        It runs in the home, so that no file in this client's folder can influence it.
        """
        program = "import sys; from kiln_mcp.doors.cli import main; sys.exit(main())"
        own = {name: v for name, v in os.environ.items() if name not in OWN_TO_A_CLIENT}
        own |= {name: str(Path(own[name]).expanduser().absolute()) for name in PATHS if name in own}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(self.home / "daemon.log", flags, 0o600), "ab") as log:
            if sys.platform != "win32":
                os.fchmod(log.fileno(), 0o600)
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.home,
                env={**own, "KILN_MCP_HOME": str(self.home)},
                start_new_session=True,
            )
        return process, log_start

    def _last_line(self, log_start: int) -> str:
        """Return the daemon's last line in the log, and the place of the log."""
        with (self.home / "daemon.log").open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(log_start if log_start <= size else 0)  # a full log was cut
            lines = log.read().decode(errors="replace").split("\n")
        texts = (line.strip() for line in reversed(lines))
        last_line = next(filter(None, texts), "it wrote nothing")
        quote = last_line[:LONGEST_QUOTE].rstrip(".")
        return f"{quote}. The whole log is {self.home / 'daemon.log'}."


def _lock(file: int) -> None:
    """Wait for the lock on a file; closing the file releases it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
