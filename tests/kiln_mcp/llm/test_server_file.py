from pathlib import Path

import pytest

from kiln_mcp.llm import ServerSettings, read_servers
from kiln_mcp.llm.errors import ServerFileUnreadable


def test_no_file_means_no_servers(tmp_path: Path) -> None:
    assert read_servers(tmp_path / "servers.json") == ()


def test_a_listed_server_has_its_own_limits(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text('[{"name": "a", "base_url": "http://x/v1", "concurrency": 3}]', "utf-8")
    assert read_servers(file) == (ServerSettings("a", "http://x/v1", concurrency=3),)


@pytest.mark.parametrize(
    "text",
    ["{", "{}", '[{"name": "a"}]', '[{"name": "a/b", "base_url": "http://x"}]'],
)
def test_a_bad_list_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    file = tmp_path / "servers.json"
    file.write_text(text, "utf-8")
    with pytest.raises(ServerFileUnreadable, match="base_url"):
        read_servers(file)
