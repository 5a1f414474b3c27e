"""Which folders may make this machine run their programs."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from kiln_mcp.workbench.folder_trust import TRUST_FILE, Trust
from storage import Project, ProjectStore
from storage.errors import Refusal


async def created(folder: Path, home: Path, project: Project | None = None) -> Path:
    store = await ProjectStore.create(folder, project or Project(name="P"), home=home)
    await store.close()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir(mode=0o700)
    return place


async def test_a_folder_is_foreign_until_its_person_trusts_it(tmp_path: Path, home: Path) -> None:
    folder, trust = await created(tmp_path / "my p", home), Trust(home)
    with pytest.raises(Refusal, match=r"kiln-mcp trust '.*/my p'") as refused:
        trust.require_trust(folder, "the code evaluator 'Length'")
    assert str(refused.value).startswith("The code evaluator 'Length' was not run")
    trust.grant(folder)
    trust.require_trust(folder, "the code evaluator 'Length'")
    assert stat.S_IMODE((home / TRUST_FILE).stat().st_mode) == 0o600
    assert trust.revoke(folder)
    assert not trust.is_trusted(folder)
    assert not trust.revoke(folder)


async def test_a_copy_at_the_path_of_a_trusted_folder_is_not_trusted(
    tmp_path: Path, home: Path
) -> None:
    folder, trust = await created(tmp_path / "p", home), Trust(home)
    trust.grant(folder)
    shutil.copytree(folder, tmp_path / "copy")
    for _ in range(5):  # the number of a removed folder is given to the next
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "copy", folder)
        with pytest.raises(Refusal, match="another folder than the one that was trusted"):
            trust.require_trust(folder, "the tool server 'T'")


async def test_another_project_in_a_trusted_folder_is_not_trusted(
    tmp_path: Path, home: Path
) -> None:
    folder, other, trust = tmp_path / "p", tmp_path / "q", Trust(home)
    await created(folder, home)
    await created(other, home)
    trust.grant(folder)
    shutil.copy(other / "project.kiln", folder / "project.kiln")
    assert not trust.is_trusted(folder)


async def test_a_link_to_a_trusted_folder_means_that_folder(tmp_path: Path, home: Path) -> None:
    folder, trust = await created(tmp_path / "p", home), Trust(home)
    (tmp_path / "link").symlink_to(folder)
    trust.grant(tmp_path / "link")
    assert trust.is_trusted(folder)
    assert trust.is_trusted(tmp_path / "link")


@pytest.mark.parametrize("broken_file", [b"", b"{", b'{"folders": [{"folder": 1}]}', b"\xff"])
async def test_a_damaged_list_trusts_nobody_and_is_not_written_over(
    tmp_path: Path, home: Path, broken_file: bytes
) -> None:
    folder, trust = await created(tmp_path / "p", home), Trust(home)
    (home / TRUST_FILE).write_bytes(broken_file)
    assert not trust.is_trusted(folder)
    with pytest.raises(Exception, match="cannot be read, so no folder is trusted"):
        trust.grant(folder)
    assert (home / TRUST_FILE).read_bytes() == broken_file


async def test_keys_of_a_newer_program_do_not_damage_the_list(tmp_path: Path, home: Path) -> None:
    folder, trust = await created(tmp_path / "p", home), Trust(home)
    trust.grant(folder)
    listing = json.loads((home / TRUST_FILE).read_text("utf-8"))
    (home / TRUST_FILE).write_text(json.dumps({**listing, "later": 1}), "utf-8")
    assert trust.is_trusted(folder)
