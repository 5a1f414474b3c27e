from pathlib import Path

from kiln_mcp.doors.clients.health import Health, examine_home, examine_keys


def test_a_home_that_others_may_read_is_broken_and_the_command_that_mends_it_is_named(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    finding = examine_home(tmp_path)
    assert (finding.health, finding.remedy) == (Health.BROKEN, f"chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    assert examine_home(tmp_path).health is Health.GOOD


def test_a_home_that_is_made_at_the_first_use_is_good(tmp_path: Path) -> None:
    home = tmp_path / "data" / "kiln"
    assert examine_home(home).health is Health.GOOD
    assert not home.parent.exists()


def test_keys_are_named_and_their_values_are_not_shown() -> None:
    [finding] = examine_keys({"OPENAI_API_KEY": "sk-canary", "PATH": "/bin", "GROQ_API_KEY": " "})
    assert finding.text == "set here: OPENAI_API_KEY"
    assert "canary" not in repr(finding)


def test_a_home_that_is_no_folder_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "home"
    file.write_text("", encoding="utf-8")
    assert examine_home(file / "deeper").health is Health.BROKEN
