"""The demo's command, up to where it asks a model."""

import io
import os
import signal
from collections.abc import Generator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pytest

from kiln_mcp.demo.main_job import EXAMPLE, INTERRUPTED, OWN, STOPPED, demonstrate
from kiln_mcp.llm import EmbeddedSettings, EngineSettings
from kiln_mcp.llm.providers.embedded_parts import LIBRARY
from kiln_mcp.settings import Settings
from storage.errors import Refusal

pytestmark = pytest.mark.skipif(find_spec(LIBRARY) is None, reason="llama.cpp is missing")

FIRST_RESULT = " run configs, "
"""Words of the first sentence after a project is on the disk."""


class StopAt(io.StringIO):
    """An output that asks its own process to end when some words are written."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def write(self, text: str, /) -> int:
        if self._words in text:
            # Without a handler of the demo's, the test fails instead of ending the test run.
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


@pytest.fixture(autouse=True)
def old_handler() -> Generator[None]:
    """Put the handler of SIGTERM back."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings whose model is a file that is there and is never loaded."""
    model = tmp_path / "model.gguf"
    model.write_bytes(b"")
    home = tmp_path / "home"
    embedded = EmbeddedSettings(path=model)
    engine = EngineSettings(response_cache=home / "responses.sqlite", embedded=embedded)
    return Settings(home=home, engine=engine)


@pytest.mark.parametrize("name", [OWN, EXAMPLE])
def test_the_command_refuses_a_folder_with_one_of_its_projects(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "here" / name
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Refusal, match="is there already"):
        demonstrate(tmp_path / "here", seed=1, settings=settings)
    assert [file.name for file in (tmp_path / "here").rglob("*.txt")] == ["mine.txt"]


def test_a_polite_kill_removes_the_unfinished_projects_and_says_so(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "here"
    with redirect_stdout(StopAt(FIRST_RESULT)), pytest.raises(SystemExit) as end:
        demonstrate(folder, seed=1, settings=settings)
    assert end.value.code == INTERRUPTED
    assert capsys.readouterr().err == STOPPED + "\n"
    assert not folder.exists()


def test_a_polite_kill_leaves_the_other_files_of_the_folder(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    with redirect_stdout(StopAt(FIRST_RESULT)), pytest.raises(SystemExit):
        demonstrate(folder, seed=1, settings=settings)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
