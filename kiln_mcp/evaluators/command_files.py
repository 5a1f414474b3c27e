"""What a command evaluator sees: a scratch folder with the output, and files of the project."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from kiln_mcp.run_configs.errors import EvalError
from storage.errors import NextStep
from storage.isolation.commands import Command, CommandLimits
from storage.isolation.confinement import Confinement, python_folders
from storage.records.workbench_checks import CommandCheck

REFERENCE_FILE: Final = "reference.txt"
FOLDER_MB: Final = 256
"""What a command may write."""
MOST_PROCESSES: Final = 64
_MOST_OUTPUT: Final = 1024 * 1024
_PROGRAMS: Final = ".programs"
_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_PYTHONS: Final = ("python", "python3")
_PLACES: Final = {
    "{input}": "input.txt",
    "{reference}": REFERENCE_FILE,
    "{trace}": "trace.json",
}


def check_names(settings: CommandCheck) -> None:
    """Refuse names of files that lead out of the project, or hide a file of the item.

    Raises:
        EvalError: There is one.
    """
    own_names = {settings.output_file, _PROGRAMS, *_PLACES.values()}
    for name in settings.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise EvalError(
                f"The file {name!r} does not lie in the project. Put it into the project's folder "
                "and give its path there, such as checks/check.py."
            )
        if path.parts[0] in own_names:
            raise EvalError(
                f"The file {name!r} has the name of a file that the command gets for each item. "
                "Rename it, or give another output_file."
            )


@dataclass(frozen=True, slots=True)
class CommandFiles:
    """The files and programs of a command evaluator.

    Attributes:
        settings: Of its record.
        project: The project's folder.
    """

    settings: CommandCheck
    project: Path

    @property
    def needs_reference(self) -> bool:
        """Whether the command reads the item's right answer."""
        return self._mentions("{reference}")

    @property
    def needs_trace(self) -> bool:
        """Whether the command reads the conversation."""
        return self._mentions("{trace}")

    def _mentions(self, place: str) -> bool:
        return any(place in word for word in self.settings.command)

    def check(self) -> None:
        """Refuse to run without a file or a program that is named.

        Raises:
            EvalError: One is not there.
        """
        check_names(self.settings)
        for name in self.settings.files:
            self._source(name)
        for name in self.settings.programs:
            _program(name)
        self._first_word(self.project)

    def prepare(self, contents: Mapping[str, str], folder: Path) -> Command:
        """Fill a scratch folder for one item; return the command to run in it.

        Args:
            contents: What the command may read of the item, by the names of the files.
            folder: The scratch folder.
        """
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8", errors="replace", newline="")
        readable = [*python_folders()]
        for name in self.settings.files:
            source = self._source(name)
            readable.append(str(source))
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
        readable += self._link_programs(folder / _PROGRAMS)
        reads_file = self._mentions("{output}")
        output = contents[self.settings.output_file]
        return Command(
            arguments=(
                self._first_word(folder),
                *map(self._word_for_item, self.settings.command[1:]),
            ),
            folder=folder,
            input=b"" if reads_file else output.encode("utf-8", "replace"),
            environment={
                "PATH": f"{folder / _PROGRAMS}:{_SYSTEM_PATH}",
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "LANG": "C.UTF-8",
            },
            limits=CommandLimits(
                seconds=self.settings.timeout_seconds,
                megabytes=self.settings.megabytes,
                processes=MOST_PROCESSES,
                output_bytes=_MOST_OUTPUT,
                folder_bytes=FOLDER_MB * 2**20,
            ),
            confinement=Confinement(tuple(readable), (str(folder),), may_start_programs=True),
        )

    def _word_for_item(self, word: str) -> str:
        for place, name in {"{output}": self.settings.output_file, **_PLACES}.items():
            word = word.replace(place, name)
        return word

    def _first_word(self, folder: Path) -> str:
        """Return the path of the program that is run, which may be a file of the folder."""
        name = self.settings.command[0]
        if name in _PYTHONS:
            return sys.executable
        if name in self.settings.files:
            return str(folder / name)
        return _program(name)

    def _link_programs(self, folder: Path) -> list[str]:
        """Let the command find its programs by name; return what of the disk they are."""
        folder.mkdir()
        programs = [Path(_program(name)) for name in self.settings.programs]
        for path in {path.name: path for path in programs}.values():
            (folder / path.name).symlink_to(path)
        paths: list[str] = []
        for path in (*programs, Path(self._first_word(folder.parent))):
            real = path.resolve()
            paths += [str(path), str(real)]
            if real.parent.name == "bin":
                paths.append(str(real.parent.parent / "lib"))
        return paths

    def _source(self, name: str) -> Path:
        """Return the path of a file of the project.

        Raises:
            EvalError: It is not there, or a link leads out of the project.
        """
        path = self.project / name
        real = path.resolve()
        if not real.exists() or not real.is_relative_to(self.project.resolve()):
            raise EvalError(
                f"The file {name!r} of the command is not in the project's folder {self.project}. "
                "Put it there, or create an evaluator without it.",
                next=[NextStep(tool="create_evaluator", reason="create another")],
            )
        return real


def _program(name: str) -> str:
    """Return the path of a program.

    Raises:
        EvalError: It is not in PATH.
    """
    path = shutil.which(name, path=os.environ.get("PATH", _SYSTEM_PATH))
    if path is None:
        raise EvalError(
            f"The program {name!r} of the command is not in PATH. Install it, or start the server "
            "with a PATH that has it."
        )
    return path
