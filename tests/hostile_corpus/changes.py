"""Do to a folder what a stranger may have done to it before it came here."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.hostile_corpus.inputs import JsonObject


def apply_change(folder: Path, change: JsonObject) -> None:  # noqa: C901 - a case a kind
    """Make one change; its paths are relative to the folder, or absolute."""
    match change:
        case {"write": str(path), "text": str(text)}:
            _place(folder, path).write_text(text, encoding="utf-8", errors="surrogatepass")
        case {"write": str(path), "latin": str(text)}:
            _place(folder, path).write_bytes(text.encode("latin-1"))
        case {"append": str(path), "text": str(text)}:
            with (folder / path).open("a", encoding="utf-8") as file:
                file.write(text)
        case {"size": str(path), "bytes": int(size)}:
            with _place(folder, path).open("ab") as file:
                file.truncate(size)
        case {"set": str(path), "keys": dict(keys)}:
            _set_keys(folder / path, keys)
        case {"link": str(path), "to": str(target)}:
            _place(folder, path).symlink_to(target)
        case {"pipe": str(path)}:
            os.mkfifo(_place(folder, path))
        case {"folders": str(path), "count": int(count)}:
            for number in range(count):
                (folder / path.replace("#", str(number))).mkdir(parents=True)
        case {"remove": str(path)}:
            _remove(folder / path)
        case {"git": list(arguments)}:
            _git(folder, *map(str, arguments))
        case {"program": str(path), "ran": str(mark)}:
            file = _place(folder, path)
            file.write_text(f"#!/bin/sh\ntouch '{mark}'\n", encoding="utf-8")
            file.chmod(0o755)
        case _:
            raise ValueError(f"no change: {change}")


def _place(folder: Path, path: str) -> Path:
    """Return a path whose folder is there and that is not there itself."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove(file)
    return file


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def _set_keys(file: Path, keys: JsonObject) -> None:
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name, value in keys.items():
        *outer, last = name.split(".")
        part = record
        for key in outer:
            part = part[key]
        part[last] = value
    file.write_text(json.dumps(record), encoding="utf-8")


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60
    )
