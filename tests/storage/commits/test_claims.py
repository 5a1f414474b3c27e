"""Claims on work of a project: one holder, whatever its process, and none after its death."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.commits.claims import FILE, hold_claims
from storage.errors import UnsafePath

HOLDER = """
import sys, time
from pathlib import Path
from storage.commits.claims import hold_claims

with hold_claims(Path(sys.argv[1]), ["first", "second"]) as claims:
    print(len(claims), flush=True)
    time.sleep(60)
"""


def test_what_one_has_claimed_no_other_gets_until_it_lets_go(tmp_path: Path) -> None:
    with hold_claims(tmp_path, ["first", "second"]) as own:
        assert own == {"first", "second"}
        with hold_claims(tmp_path, ["second", "third"]) as others:
            assert others == {"third"}
        with hold_claims(tmp_path, ["first"]) as others:
            assert others == set()
    with hold_claims(tmp_path, ["first"]) as later:
        assert later == {"first"}


def test_the_claims_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"2\n"
        with hold_claims(tmp_path, ["first", "third"]) as own:
            assert own == {"third"}
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
        with hold_claims(tmp_path, ["first", "second"]) as own:
            assert own == {"first", "second"}


@pytest.mark.parametrize("link", [FILE, ".trash"])
def test_a_link_in_the_place_of_the_claims_is_refused_and_not_followed(
    tmp_path: Path, link: str
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / link).parent.mkdir(parents=True)
    (project / link).symlink_to(elsewhere)
    with pytest.raises(UnsafePath), hold_claims(project, ["first"]):
        pass
    assert not elsewhere.exists()


def test_the_file_of_the_claims_is_for_whoever_may_write_to_the_project(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    with hold_claims(tmp_path, ["first"]):
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o660
