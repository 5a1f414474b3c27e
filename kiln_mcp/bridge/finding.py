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
from kiln_mcp.bridge.exchange import Address, Exchange
from kiln_mcp.home import prepare_home

START_WITHIN_S: Final = 30.0
SERVED_ALREADY: Final = 75
"""How a daemon ends that finds another in its home, which may be about to listen."""
OTHERS_WITHIN_S: Final = 10.0
STARTS_AFTER_KILLS: Final = 3
"""How often another is started in place of one that was killed before it could be found."""
LONGEST_WORDS: Final = 300
KEY_ENDINGS: Final = ("KEY", "TOKEN", "_BASE_URL", "_API_BASE")
PROVIDERS: Final = ("AWS_", "AZURE_", "GOOGLE_", "VERTEX", "WATSONX_", "WX_", "DATABRICKS_")
"""Beginnings of the variables of providers that want more than a key: a region, a project, …"""
OWN_TO_A_CLIENT: Final = frozenset({"KILN_MCP_MODEL"})
"""What each client lends with its calls; the daemon that one of them starts serves others too."""


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


def keys_to_lend(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the variables that model providers may need, and those that servers.json names."""
    named = _named_by_servers(home / "servers.json")
    return {
        name: value
        for name, value in environment.items()
        if name in named or name.endswith(KEY_ENDINGS) or name.startswith(PROVIDERS)
    }


def _named_by_servers(file: Path) -> frozenset[str]:
    try:
        servers = json.loads(file.read_text(encoding="utf-8"))
        return frozenset(str(server.get("key_variable")) for server in servers)
    except (OSError, ValueError, TypeError, AttributeError):
        return frozenset()  # what is wrong with it is said by who asks a model


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

    def __init__(self, home: Path) -> None:
        self.home = home
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
        try:
            known = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))
            self.address = Address(int(known["port"]), str(known["token"]))
            self.address.connect().close()
        except (OSError, ValueError, KeyError):
            return False
        return not recent or not is_outdated(str(known.get("version")), __version__)

    def _stop(self) -> None:
        """Ask an older daemon to end; its jobs go on in the next one."""
        try:
            with Exchange(self.address, "POST", "/stop", {}, b"") as exchange:
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
        keys = keys_to_lend(environment, self.home)
        if not keys:
            return
        try:
            with Exchange(self.address, "POST", "/keys", {}, json.dumps(keys).encode()) as exchange:
                exchange.send()
        except (OSError, ValueError):
            return  # the first call that needs a key will name it

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
        """Return the process of a new daemon, and where in the log its words begin."""
        program = "import sys; from kiln_mcp.cli import main; sys.exit(main())"
        own = {name: v for name, v in os.environ.items() if name not in OWN_TO_A_CLIENT}
        with (self.home / "daemon.log").open("ab") as log:
            begun = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**own, "KILN_MCP_HOME": str(self.home)},
                start_new_session=True,
            )
        return process, begun

    def _last_words(self, begun: int) -> str:
        """Return the last line that the daemon wrote, and where the others are."""
        with (self.home / "daemon.log").open("rb") as log:
            log.seek(begun)
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
