"""The list of commands looks for extensions without loading them."""

from pathlib import Path

import pytest

from kiln_mcp.doors.border.extensions import may_be_installed


@pytest.mark.parametrize(
    ("text", "is_extension"),
    [
        ("[kiln_mcp.capabilities]\ngreet = other:greet\n", True),
        ("[console_scripts]\ngreet = other:main\n", False),
    ],
)
def test_a_distribution_is_an_extension_if_it_names_the_group(
    tmp_path: Path, text: str, is_extension: bool
) -> None:
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text(text, encoding="utf-8")
    assert may_be_installed([str(tmp_path / "absent"), str(tmp_path)]) is is_extension
