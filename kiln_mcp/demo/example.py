"""The real project that comes with the demo: a cut of Kiln's own, with its licence."""

import io
import tarfile
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

ARCHIVE: Final = "ffmpeg_example.tar.xz"
EVAL: Final = "Issue - Correctness"


def unpack_example(folder: Path) -> None:
    """Write the example project into a new folder."""
    content_ = (files("kiln_mcp") / "demo" / ARCHIVE).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content_), mode="r:xz") as archive:
        for member in archive:
            inside = PurePosixPath(member.name)
            content = archive.extractfile(member)
            if content is None or inside.is_absolute() or ".." in inside.parts:
                continue
            file = folder / inside
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.read())
