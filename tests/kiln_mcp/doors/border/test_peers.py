"""How the bridge and the daemon meet: by a socket of this person's, never by a stranger's file."""

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from kiln_mcp.doors.border.peers import is_own_peer
from kiln_mcp.doors.border.socket_file import LONGEST_PATH, SOCKET_FILE, listen_at_home
from kiln_mcp.doors.bridge import Bridge, Daemon
from kiln_mcp.doors.bridge.discovery import DaemonUnreachable
from kiln_mcp.doors.bridge.http_client import DaemonAddress

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no Unix sockets")


def announce(home: Path, **more: object) -> Path:
    file = home / "daemon.json"
    known = {"port": 9, "token": "t", "pid": 1, "version": "99.0.0", **more}
    file.write_text(json.dumps(known), encoding="utf-8")
    file.chmod(0o600)
    return file


def test_the_socket_of_a_home_is_this_persons_alone(tmp_path: Path) -> None:
    listening = listen_at_home(tmp_path)
    assert listening is not None
    listener, path = listening
    with listener, DaemonAddress(9, "t", str(path)).connect() as connection:
        assert is_own_peer(connection)
    assert path == tmp_path / SOCKET_FILE
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_stale_socket_is_replaced_and_another_file_is_left(tmp_path: Path) -> None:
    first = listen_at_home(tmp_path)
    assert first is not None
    first[0].close()
    second = listen_at_home(tmp_path)
    assert second is not None
    assert second[1] == first[1]
    second[0].close()
    second[1].unlink()
    second[1].write_text("precious", encoding="utf-8")
    third = listen_at_home(tmp_path)
    assert second[1].read_text(encoding="utf-8") == "precious"
    if third is not None:
        third[0].close()
        third[1].unlink()
        assert third[1] != second[1]


@pytest.mark.parametrize("kind", ["long", "open"])
def test_a_home_that_can_hold_no_socket_has_it_in_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # A short path: the folder of the tests may be too deep for any socket.
    runtime = Path(tempfile.mkdtemp(prefix="kiln-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    home = tmp_path / ("h" * LONGEST_PATH if kind == "long" else "home")
    home.mkdir(mode=0o700)
    if kind == "open":
        home.chmod(0o777)
    listening = listen_at_home(home)
    assert listening is not None
    listening[0].close()
    assert listening[1].parent == runtime
    shutil.rmtree(runtime)


@pytest.mark.parametrize("fault", ["link", "group", "world"])
def test_a_file_that_others_may_have_written_is_not_trusted(tmp_path: Path, fault: str) -> None:
    file = announce(tmp_path)
    if fault == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.chmod(0o620 if fault == "group" else 0o602)
    with pytest.raises(DaemonUnreachable, match="nothing is sent"):
        Daemon(tmp_path).find()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs a second user")
def test_a_file_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    os.chown(announce(tmp_path), 65534, 65534)
    with pytest.raises(DaemonUnreachable, match="belongs to another user"):
        Daemon(tmp_path).find()


def test_a_daemon_that_hangs_is_named_and_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce(tmp_path, port=listener.getsockname()[1], pid=4321)
        with pytest.raises(DaemonUnreachable, match="process 4321"):
            Daemon(tmp_path, answers_within_s=0.1).find()


class Hanging(Daemon):
    """A daemon that takes every request and answers none."""

    def __init__(self, home: Path, listener: socket.socket) -> None:
        super().__init__(home)
        self.address = DaemonAddress(listener.getsockname()[1], "t")

    def find(self, *, replacing: bool = False) -> None:
        raise DaemonUnreachable("It does not answer.")

    def is_healthy(self) -> bool:
        return False


def test_a_call_of_a_daemon_that_hangs_is_answered_all_the_same(tmp_path: Path) -> None:
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    (for_bridge, to_bridge), (from_bridge, for_client) = os.pipe(), os.pipe()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        os.fdopen(for_bridge, "rb") as incoming,
        os.fdopen(for_client, "wb") as outgoing,
        os.fdopen(from_bridge, "rb") as heard,
    ):
        daemon = Hanging(tmp_path, listener)
        bridge = threading.Thread(
            target=Bridge(daemon, incoming, outgoing, ping_every_s=0.05).run, daemon=True
        )
        bridge.start()
        with os.fdopen(to_bridge, "wb") as said:
            said.write(json.dumps({**call, "params": {"name": "x"}}).encode() + b"\n")
            said.flush()
            answer = json.loads(heard.readline())
        bridge.join(10)
    assert "It does not answer." in answer["error"]["message"]
    assert not bridge.is_alive()
