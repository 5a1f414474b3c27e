"""Base models on this machine: the embedded one, a folder, or one of Hugging Face's cache."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiln_mcp.llm import EMBEDDED, find_embedded_model
from storage.errors import InvalidValue

_LICENCES: Final = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")
_CARD_LICENCE: Final = re.compile(r"^license:[ \t]*(\S.*)$", re.MULTILINE)
_LONGEST_CARD: Final = 4000
_GGUF: Final = ".gguf"


@dataclass(frozen=True, slots=True)
class Base:
    """A base model.

    Attributes:
        title: As the person named it.
        folder: Its folder in Hugging Face's format; for a GGUF file that of its conversion, which
            may not be made yet.
        gguf: The GGUF file; None for a model of Hugging Face.
        licence: As far as its card or its files tell.
    """

    title: str
    folder: Path
    gguf: Path | None = None
    licence: str = "unknown"


def find_base(
    name: str, conversions: Path, gguf: Path | None, environment: Mapping[str, str]
) -> Base:
    """Return the base model of a name; nothing is downloaded.

    Args:
        name: `embedded`, the whole path of a folder, or a name such as `Qwen/Qwen3-0.6B` in
            Hugging Face's cache.
        conversions: Where converted GGUF files are kept.
        gguf: The embedded model's file if it is the person's own.
        environment: Where the cache is named.

    Raises:
        InvalidValue: There is none.
    """
    if name == EMBEDDED:
        file = gguf or find_embedded_model()
        if file is None or not file.is_file():
            raise _no_base(name, "its file is not there; fetch it with `kiln-mcp models pull`")
        folder = conversions / f"{file.stem}-{file.stat().st_size}"
        return Base(name, folder, file, "see the card of the GGUF file")
    try:
        folder = Path(name).expanduser()
    except RuntimeError as error:
        raise _no_base(name, "it names a user that does not exist") from error
    if folder.suffix == _GGUF:
        raise _no_base(name, "a GGUF file is trained as `embedded`: name it in KILN_MCP_GGUF")
    if not folder.is_absolute():  # the job runs in another folder than the call
        folder = _cached(name, environment)
    elif not folder.is_dir():
        raise _no_base(name, "there is no such folder")
    if not (folder / "config.json").is_file():
        raise _no_base(name, "the folder has no config.json")
    return Base(name, folder.absolute(), None, _licence(folder))


def base_elsewhere(name: str) -> Base:
    """Return a base model that other machines have, or fetch: a folder there, or a name.

    Raises:
        InvalidValue: Only this machine has it.
    """
    if name == EMBEDDED or name.endswith(_GGUF):
        raise InvalidValue(
            "Nothing was trained: a cluster trains a Hugging Face model, and '{name}' is a GGUF "
            "file of this machine. Give a name such as Qwen/Qwen3-0.6B, or a folder there.",
            name=name,
        )
    return Base(name, Path(name))


def _cached(name: str, environment: Mapping[str, str]) -> Path:
    """Return the folder of a model in Hugging Face's cache."""
    home = environment.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    hub = Path(environment.get("HF_HUB_CACHE") or Path(home, "hub"))
    folder = hub / f"models--{name.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise _no_base(name, f"it is no whole path, and not in the cache {hub}") from error
    return folder / "snapshots" / revision


def _no_base(name: str, reason: str) -> InvalidValue:
    return InvalidValue(
        "Nothing was trained: there is no base model '{name}' on this machine: {reason}. Valid: "
        "embedded, the whole path of a Hugging Face model's folder, or the name of one that is in "
        "its cache.",
        name=name,
        reason=reason,
    )


def _licence(folder: Path) -> str:
    """Return the licence that a model's card names, or its licence file."""
    card = folder / "README.md"
    if card.is_file():
        with card.open(encoding="utf-8", errors="replace") as file:
            match = _CARD_LICENCE.search(file.read(_LONGEST_CARD))
        if match:
            return match[1].strip()
    return next((f"see {name}" for name in _LICENCES if (folder / name).is_file()), "unknown")
