"""The port and the token of a daemon are the same at each of its starts."""

import json
import logging
import socket
import stat
from pathlib import Path

import pytest

from kiln_mcp.doors.border.credentials import FILE_NAME, Credentials, listen, read_token
from storage.errors import Refusal

KEPT = Credentials(0, "")


def start(home: Path, request: Credentials = KEPT) -> Credentials:
    """Listen as a daemon does, and end."""
    listener, credentials = listen(home, request)
    listener.close()
    return credentials


def test_the_next_start_has_the_same_port_and_token(tmp_path: Path) -> None:
    first = start(tmp_path)
    assert start(tmp_path) == first
    assert first.port
    assert len(first.token) >= 32
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_two_homes_have_tokens_of_their_own(tmp_path: Path) -> None:
    homes = [tmp_path / "a", tmp_path / "b"]
    for home in homes:
        home.mkdir()
    assert len({start(home).token for home in homes}) == 2


def test_a_port_that_is_named_once_is_kept(tmp_path: Path) -> None:
    first = start(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert start(tmp_path, Credentials(port, "")) == Credentials(port, first.token)
    assert start(tmp_path).port == port


def test_a_kept_port_in_use_is_left_for_one_start_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = start(tmp_path)
    with socket.create_server(("127.0.0.1", first.port)), caplog.at_level(logging.WARNING):
        other = start(tmp_path)
    assert other.port != first.port
    assert f"Port {first.port} is in use" in caplog.text
    assert start(tmp_path) == first


def test_a_named_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refusal, match=f"Port {port} of 127.0.0.1 cannot be used"):
            start(tmp_path, Credentials(port, ""))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"port": 70000, "token": "x"}', '{"port": 1, "token": "a\\r\\nb"}']
)
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    credentials = start(tmp_path)
    assert json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8")) == {
        "port": credentials.port,
        "token": credentials.token,
    }


def test_a_file_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    first = start(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o666)
    assert start(tmp_path).token != first.token


def test_a_token_file_is_written_once_and_read_then(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = read_token(file)
    assert read_token(file) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = start(tmp_path)
    assert start(tmp_path, Credentials(0, token)).token == token
    assert start(tmp_path) == kept


@pytest.mark.parametrize(
    ("text", "mode"), [("short", 0o600), ("two lines\n" * 9, 0o600), ("t" * 40, 0o666)]
)
def test_a_token_file_that_is_no_secret_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    with pytest.raises(Refusal, match="The token file"):
        read_token(file)
