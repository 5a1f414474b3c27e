import json
from pathlib import Path

import pytest
import tomlkit

from kiln_mcp.doors.clients.client_files import (
    SERVER,
    ClientFile,
    Launch,
    client_files,
    find_client,
)
from kiln_mcp.doors.clients.handshake import shake_hands
from kiln_mcp.doors.clients.registration import (
    is_registered,
    own_launch,
    plan_entry,
    plan_removal,
)
from storage.errors import InvalidValue, Refusal

LAUNCH = Launch("/opt/kiln/bin/kiln-mcp", (), (("KILN_MCP_HOME", "/data"),), ("OPENAI_API_KEY",))
NAMES = tuple(client_files(Path("/home/p"), {}, "linux"))


def client(folder: Path, name: str) -> ClientFile:
    return client_files(folder, {}, "linux")[name]


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_each_client_has_a_file_of_its_own(platform: str) -> None:
    files = client_files(Path("/home/p"), {"APPDATA": "/home/p/AppData/Roaming"}, platform)
    assert len({file.path for file in files.values()}) == len(files) == 9


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_names_secrets_and_never_holds_their_values(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    file = client(tmp_path, name)
    change = plan_entry(file, LAUNCH)
    assert b"sk-canary" not in change.new_content
    assert change.write() is None  # there was nothing to keep
    assert is_registered(file)
    assert file.path.stat().st_mode & 0o777 == 0o600
    text = file.path.read_text(encoding="utf-8")
    assert "/opt/kiln/bin/kiln-mcp" in text
    assert ("OPENAI_API_KEY" in text) is bool(file.reference)
    assert not plan_entry(file, LAUNCH).is_needed


@pytest.mark.parametrize("name", NAMES)
def test_removing_an_entry_leaves_what_was_there_before(tmp_path: Path, name: str) -> None:
    file = client(tmp_path, name)
    file.path.parent.mkdir(parents=True, exist_ok=True)
    other = {"command": "other", "args": ["-x"]}
    if file.is_toml:
        text = '# mine\nmodel = "o3"\n\n[mcp_servers.other]\ncommand = "other"\nargs = ["-x"]\n'
    else:
        [parent] = file.parents
        text = (
            '{\n  // mine\n  "theme": 1,\n  '
            + json.dumps(parent)
            + ": "
            + (json.dumps({"other": other}, indent=2).replace("\n", "\n  ") + "\n}\n")
        )
    file.path.write_text(text, encoding="utf-8")
    file.path.chmod(0o640)
    backup = plan_entry(file, LAUNCH).write()
    assert backup is not None
    assert backup.read_text(encoding="utf-8") == text
    edited = file.path.read_text(encoding="utf-8")
    assert ("# mine" if file.is_toml else "// mine") in edited
    assert is_registered(file)
    assert plan_removal(file).is_needed
    plan_removal(file).write()
    assert not is_registered(file)
    assert file.path.read_text(encoding="utf-8").strip() == text.strip()
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert not plan_removal(file).is_needed


def test_an_outdated_entry_is_brought_up_to_date_in_place(tmp_path: Path) -> None:
    for name in ("cursor", "codex"):
        file = client(tmp_path, name)
        plan_entry(file, Launch("/old")).write()
        plan_entry(file, Launch("/new")).write()
        text = file.path.read_text(encoding="utf-8")
        assert "/new" in text
        assert "/old" not in text
    assert tomlkit.parse(text).unwrap()["mcp_servers"][SERVER]["command"] == "/new"


@pytest.mark.parametrize(
    ("name", "content"),
    [("cursor", b'{"mcpServers": '), ("codex", b"[mcp_servers\n"), ("zed", b"\xff\xfe{}")],
)
def test_a_file_that_cannot_be_understood_is_left_alone(
    tmp_path: Path, name: str, content: bytes
) -> None:
    file = client(tmp_path, name)
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(content)
    with pytest.raises(Refusal, match="Nothing was changed"):
        plan_entry(file, LAUNCH)
    assert file.path.read_bytes() == content
    assert not is_registered(file)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file = client(tmp_path, "cursor")
    file.path.parent.mkdir()
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "mcp.json"
    target.write_text("{}", encoding="utf-8")
    file.path.symlink_to(target)
    plan_entry(file, LAUNCH).write()
    assert file.path.is_symlink()
    assert "kiln-mcp" in target.read_text(encoding="utf-8")


def test_a_file_that_another_program_changes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = client(tmp_path, "cursor")
    change = plan_entry(file, LAUNCH)
    file.path.parent.mkdir()
    file.path.write_text('{"new": 1}', encoding="utf-8")
    with pytest.raises(Refusal, match="changed by another program"):
        change.write()
    assert [item.name for item in file.path.parent.iterdir()] == ["mcp.json"]


def test_a_client_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    files = client_files(Path("/home/p"), {}, "linux")
    assert find_client(files, "Claude Desktop").name == "claude-desktop"
    with pytest.raises(InvalidValue, match="Did you mean 'cursor'"):
        find_client(files, "cursr")


@pytest.mark.parametrize("content", [None, '{"theme": 1}'])
def test_a_change_is_taken_back_unless_somebody_has_changed_the_file_since(
    tmp_path: Path, content: str | None
) -> None:
    file = client(tmp_path, "cursor")
    file.path.parent.mkdir()
    if content is not None:
        file.path.write_text(content, encoding="utf-8")
        file.path.chmod(0o640)
    change = plan_entry(file, LAUNCH)
    change.write()
    change.restore()
    assert content is None or file.path.stat().st_mode & 0o777 == 0o640
    assert (file.path.read_text(encoding="utf-8") if file.path.exists() else None) == content
    change = plan_entry(file, LAUNCH)
    change.write()
    file.path.write_text("{}", encoding="utf-8")
    change.restore()
    assert file.path.read_text(encoding="utf-8") == "{}"


async def test_a_program_that_is_no_server_is_refused_with_its_command() -> None:
    with pytest.raises(Refusal, match=r"\(/bin/false\).*doctor"):
        await shake_hands(Launch("/bin/false"), within_s=10)


def test_an_installation_of_uvx_is_started_by_uvx_with_its_extra(tmp_path: Path) -> None:
    program = tmp_path / "archive-v0" / "KhXA" / "bin" / "kiln-mcp"
    program.parent.mkdir(parents=True)
    program.touch()
    launch = own_launch((), ("OPENAI_API_KEY",), str(program.with_name("python")))
    assert launch == Launch("uvx", ("kiln-mcp-server[embedded]",), (), ("OPENAI_API_KEY",))
    lasting = program.parents[2].parent / "bin" / "kiln-mcp"
    lasting.parent.mkdir()
    lasting.touch()
    assert own_launch((), (), str(lasting.with_name("python"))) == Launch(str(lasting))
