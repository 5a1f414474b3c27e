"""Train a folder on a Ray cluster: `python -m kiln_mcp.tuning.local.ray_job FOLDER [GPUS]`.

The cluster is that of RAY_ADDRESS, or this machine. Files go to the machine that trains and come
back with Ray's own transport, so no shared disk is needed. If that machine's process is killed, Ray
starts it again there or elsewhere; on the same machine it goes on from its last checkpoint.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kiln_mcp.tuning.local.trainer.__main__ import main as train
from kiln_mcp.tuning.local.trainer.libraries import library
from storage.atomic_write import write_atomically

Files = dict[str, bytes]
_ATTEMPTS: Final = 3
_INPUTS: Final = ("request.json", "train.jsonl", "validation.jsonl")


def train_files(name: str, files: Mapping[str, bytes]) -> Files:
    """Train in a folder of this machine; return the files that came out.

    Args:
        name: Of the training; the same name finds an earlier attempt's checkpoint.
        files: The request and the data, by their names.
    """
    folder = Path(tempfile.gettempdir()) / f"kiln-trainings-{os.getuid()}" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, content in files.items():
        write_atomically(folder / file, content)
    train(["train", str(folder)])
    outputs = [folder / "state.json", folder / "losses.jsonl", *(folder / "adapter").glob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in outputs if path.is_file()}


def take_in(folder: Path, outputs: Mapping[str, bytes]) -> None:
    """Write what came out into the folder of the training here; its state comes last."""
    for name in sorted(outputs, key=lambda name: (name == "state.json", name)):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        write_atomically(place, outputs[name])


def run(folder: Path, gpus: float, ray: Any) -> None:
    """Train the folder on a cluster that Ray is connected to.

    Args:
        folder: Of the training, with its request and data.
        gpus: GPUs to ask for; 0 for none.
        ray: The library, connected.
    """
    files = {n: (folder / n).read_bytes() for n in _INPUTS if (folder / n).is_file()}
    remote = ray.remote(num_gpus=gpus, max_retries=_ATTEMPTS)(train_files)
    take_in(folder, ray.get(remote.remote(folder.name, files)))


def main(arguments: list[str]) -> None:
    """Connect, train and disconnect."""
    folder, gpus = Path(arguments[0]), float(arguments[1]) if arguments[1:] else 0.0
    ray = library("ray")
    ray.init(include_dashboard=False) if "RAY_ADDRESS" not in os.environ else ray.init()
    try:
        run(folder, gpus, ray)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
