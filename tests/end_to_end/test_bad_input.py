"""What can go wrong outside is said in one sentence, with an exit code, and leaves nothing half."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

MAIN = "from kiln_mcp.doors.cli import main; main()"
# Started by a shell in the background, a process hears no Ctrl-C unless it asks for it.
AT_A_TERMINAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What was said, where it was one line and no traceback."""
        lines = self.err.strip().splitlines()
        assert "Traceback" not in self.err
        assert len(lines) == 1, self.err
        return lines[0]


def environment(home: Path) -> dict[str, str]:
    return {
        **{k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")},
        "KILN_MCP_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def run(home: Path, *arguments: str, before: Sequence[str] = ()) -> Ended:
    command = [*before, sys.executable, "-c", MAIN, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(home), timeout=90, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def made_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project at the command line, once: every start of it takes a second."""
    folder = tmp_path_factory.mktemp("made") / "p"
    home = folder.parent / "home"
    assert run(home, "create-project", "--name", "p", "--folder", str(folder)).code == 0
    made = run(
        home, "create-project", "--project", str(folder), "--name", "t", "--instruction", "Say hi."
    )
    assert made.code == 0
    return folder


@pytest.fixture
def project(made_project: Path, tmp_path: Path) -> Path:
    """Return a copy that the test may spoil."""
    return shutil.copytree(made_project, tmp_path / "p", symlinks=True)


def test_a_path_that_is_no_project(home: Path, tmp_path: Path) -> None:
    ended = run(home, "describe-project", "--project", str(tmp_path))
    assert ended.code == 1
    assert "is not a project: it holds no project.kiln" in ended.sentence


def test_a_broken_project_file(home: Path, project: Path) -> None:
    (project / "project.kiln").write_text('{"v": 1, "na', encoding="utf-8")
    ended = run(home, "describe-project", "--project", str(project))
    assert ended.code == 1
    assert "project.kiln: it is no JSON" in ended.sentence


def test_a_project_of_a_newer_version(home: Path, project: Path) -> None:
    file = project / "project.kiln"
    text = file.read_text(encoding="utf-8").replace('"v": 1', '"v": 7')
    file.write_text(text, encoding="utf-8")
    ended = run(home, "describe-project", "--project", str(project))
    assert ended.code == 1
    assert "format version 7 is newer than 1" in ended.sentence
    assert "Upgrade" in ended.sentence
    assert file.read_text(encoding="utf-8") == text


def test_one_broken_record_is_named_and_the_rest_is_shown(home: Path, project: Path) -> None:
    (task,) = project.glob("tasks/*/task.kiln")
    broken = task.parent / "runs" / "1" / "task_run.kiln"
    broken.parent.mkdir(parents=True)
    broken.write_text("{}", encoding="utf-8")
    ended = run(home, "describe-project", "--project", str(project))
    assert ended.code == 0
    assert "runs/1/task_run.kiln" in ended.out


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("no-such-model", "There is no model"), ("openai/gpt-4.1", "needs a key and none is set")],
)
def test_a_model_that_cannot_be_asked(home: Path, project: Path, model: str, sentence: str) -> None:
    ended = run(
        home, "build-spec", "--project", str(project), "--wish", "Answers are short.",
        "--model", model,
    )  # fmt: skip
    assert ended.code == 1
    assert sentence in ended.sentence


def test_a_wrong_argument_is_a_usage_error(home: Path) -> None:
    ended = run(home, "describe-project", "--projct", "x")
    assert ended.code == 2
    assert "--project" in ended.err


def test_a_full_disk_is_said_and_nothing_is_half_written(home: Path, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = (
        f"mount -t tmpfs -o size=16k none {mount} && "
        f"head -c 20000 /dev/zero > {mount}/filler 2>/dev/null; "
        f'"$@"; code=$?; find {mount} -type f ! -name filler; exit $code'
    )
    before = ["unshare", "-rm", "sh", "-c", script, "sh"]
    works = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(mount)]
    if shutil.which("unshare") is None or subprocess.run(works, check=False).returncode:
        pytest.skip("a small disk needs unshare with user namespaces")
    ended = run(home, "create-project", "--name", "p", "--folder", str(mount / "p"), before=before)
    assert ended.code == 1
    assert "the disk is full" in ended.sentence
    assert ended.out.strip() == ""


@pytest.mark.embedded
def test_ctrl_c_in_the_middle_of_the_demo_is_one_sentence(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL + MAIN, "demo", "--folder", str(home / "demo")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home),
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.startswith("kiln-mcp: Stopped")
    assert "Traceback" not in err
