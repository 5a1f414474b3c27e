"""A text file that a program finds by itself: each run gets a copy of its folder with another text.

The user's own file is never written. Folders that are no part of the program's text, such as `.git`
or `node_modules`, are links in the copy. All other files are real ones: a program that looks up
where its code lies finds the copy.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from kiln_mcp.programs.errors import cannot_run
from storage.format.layout import PROJECT_FILE, children_of
from storage.records import Project

LARGEST_TEXT: Final = 256 * 1024
"""Bytes of a text file."""
MOST_FILES: Final = 2000
LARGEST_COPY: Final = 64 * 1024 * 1024
"""Bytes of all files that are copied for a run."""
_LINKED_FOLDERS: Final = frozenset({"node_modules", "site-packages", "venv"})
_CACHE_FOLDER: Final = "__pycache__"
"""It would be read instead of a text that is Python."""
_RECORDS: Final = frozenset(place.folder for place in children_of(Project))
"""Folders of a project's records."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file of a program. All methods block.

    Attributes:
        name: The run config's name, for sentences.
        folder: The program's folder.
        path: The file, from that folder on.
    """

    name: str
    folder: Path
    path: str

    def check(self) -> None:
        """Refuse a file that cannot be replaced in a copy of the folder.

        Raises:
            ModelError: It does not lie in the folder, is no text, or the folder is too large.
        """
        self.text()
        count = size = 0
        for entry in self._entries(self.folder):
            if entry.is_file(follow_symlinks=False):
                count, size = count + 1, size + entry.stat(follow_symlinks=False).st_size
            if count > MOST_FILES or size > LARGEST_COPY:
                raise cannot_run(
                    self.name,
                    f"the folder {self.folder} has more than {MOST_FILES} files or "
                    f"{LARGEST_COPY // 1024**2} MB, and each run gets a copy of it. Name a "
                    "smaller `folder`.",
                )

    def text(self) -> str:
        """Return what the file holds, without white space at its end.

        Raises:
            ModelError: It does not lie in the folder, or is no text.
        """
        text = self._whole_text().rstrip()
        if not text:
            raise cannot_run(self.name, f"its text file {self.path!r} is empty. Name another one.")
        return text

    def copy_to(self, target: Path, text: str) -> None:
        """Copy the folder, with another text in the place of the file's.

        Args:
            target: A folder that is not there yet.
            text: The text; it gets the white space at the end that the file has.

        Raises:
            ModelError: The file is not there any more.
            OSError: A file cannot be copied.
        """
        whole_text = self._whole_text()
        end = whole_text[len(whole_text.rstrip()) :]
        target.mkdir()
        for entry in self._entries(self.folder):
            self._copy(entry, target)
        file = target / self.path
        file.write_text(text.rstrip() + end, encoding="utf-8", newline="")

    def _copy(self, entry: "os.DirEntry[str]", target: Path) -> None:
        source = Path(entry.path)
        copy = target / source.relative_to(self.folder)
        if entry.is_symlink():
            real, top = source.resolve(), self.folder.resolve()
            inside = real.is_relative_to(top)
            copy.symlink_to(target / real.relative_to(top) if inside else real)
        elif entry.is_dir():
            if self._is_linked(source):
                copy.symlink_to(source)
            else:
                copy.mkdir()
        elif entry.is_file():
            shutil.copy2(source, copy)

    def _entries(self, folder: Path) -> "Iterator[os.DirEntry[str]]":
        """Yield what is copied or linked, each folder before what it holds."""
        with os.scandir(folder) as entries:
            own = sorted(entries, key=lambda entry: entry.name)
        for entry in own:
            if entry.name == _CACHE_FOLDER:
                continue
            yield entry
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and not self._is_linked(Path(entry.path)):
                yield from self._entries(Path(entry.path))

    def _is_linked(self, folder: Path) -> bool:
        if (self.folder / self.path).is_relative_to(folder):
            return False
        name = folder.name
        is_record = name in _RECORDS and (folder.parent / PROJECT_FILE).exists()
        return is_record or name in _LINKED_FOLDERS or name.startswith(".")

    def _whole_text(self) -> str:
        path = PurePosixPath(self.path)
        file = self.folder / path
        if path.is_absolute() or ".." in path.parts:
            raise cannot_run(
                self.name,
                f"its text file {self.path!r} does not lie in the folder {self.folder}. Give its "
                "path from there on.",
            )
        if not file.is_file() or file.resolve() != self.folder.resolve() / path:
            raise cannot_run(
                self.name,
                f"there is no file {file}, or a link leads to it. Give the path of the file "
                "itself, from the program's folder on.",
            )
        if file.stat().st_size > LARGEST_TEXT:
            raise cannot_run(
                self.name,
                f"its text file {self.path!r} has more than {LARGEST_TEXT // 1024} KB. Name a "
                "smaller one.",
            )
        try:
            return file.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise cannot_run(
                self.name, f"its text file {self.path!r} is not in UTF-8. Save it so."
            ) from error
