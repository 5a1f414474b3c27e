"""Start the process that trains, and the one that looks at a training beforehand."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.work_folder import WorkFolder
from storage.errors import Refusal
from storage.isolation.commands import Command, CommandLimits, run_command
from storage.isolation.outcomes import Failed

LIBRARIES: Final = ("torch", "transformers", "peft", "gguf", "safetensors")
_MODULE: Final = "kiln_mcp.tuning.local.trainer"
_ROOT: Final = str(Path(__file__).parents[3])
_LONGEST_LOOK_S: Final = 1800.0
_VARIABLE_NAMES: Final = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH"}
)
_VARIABLE_BEGINNINGS: Final = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "CUDA_",
    "HIP_",
    "ROCR_",
    "NVIDIA_",
    "WANDB_",
    "TRACKIO_",
)
_running: Final[dict[Path, "subprocess.Popen[bytes]"]] = {}
"""The processes that this one started; their ends are collected here."""


class TrainerProcesses(Protocol):
    """What starts the processes that look at trainings and that train."""

    def check(self) -> None:
        """Refuse if what they need is not installed."""
        ...

    async def examine(self, folder: WorkFolder) -> Outlook:
        """Return what is known of a training before it starts."""
        ...

    def start(self, folder: WorkFolder) -> None:
        """Start the process that trains."""
        ...

    def is_started(self, folder: WorkFolder) -> bool:
        """Return whether a process trains."""
        ...


@dataclass(frozen=True, slots=True)
class ChildProcesses:
    """Processes of this Python.

    Attributes:
        environment: Of this process; little of it goes on.
        libraries: What must be installed.
    """

    environment: Mapping[str, str]
    libraries: Sequence[str] = LIBRARIES

    def check(self) -> None:
        """Refuse if the extra that trains is not installed.

        Raises:
            Refusal: It is not; the sentence has the command that installs it.
        """
        missing = [name for name in self.libraries if find_spec(name) is None]
        if missing:
            raise Refusal(
                "Nothing was trained: training on this machine needs {missing}, which are not "
                "installed. Install them with pip install 'kiln-mcp-server[tune]' (about 1.2 GB), "
                "or train at another provider.",
                missing=missing,
            )

    async def examine(self, folder: WorkFolder) -> Outlook:
        """Return what is known of a training before it starts; a cancellation ends the look.

        Raises:
            Refusal: The process broke down.
        """
        result = await run_command(
            Command(
                arguments=_arguments("examine", folder),
                folder=folder.path,
                environment=self._variables(folder),
                limits=CommandLimits(seconds=_LONGEST_LOOK_S, megabytes=None, processes=None),
            )
        )
        if isinstance(result, Failed):
            reason = result.reason
        elif result.exit_code:
            reason = _last_line(result.errors)
        else:
            return Outlook.model_validate_json(result.output.splitlines()[-1])
        raise Refusal(
            "Nothing was trained: the look at the base model broke down: {reason}. Check that the "
            "libraries of the extra 'tune' fit each other, with pip check.",
            reason=reason.rstrip("."),
        )

    def start(self, folder: WorkFolder) -> None:
        """Start the process that trains; it goes on if this one ends, while somebody watches it."""
        for path in [path for path, process in _running.items() if process.poll() is not None]:
            del _running[path]  # or its end would stay in the system's table
        with folder.log.open("ab") as log:
            _running[folder.path] = subprocess.Popen(
                _arguments("train", folder),
                cwd=folder.path,
                env=self._variables(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_started(self, folder: WorkFolder) -> bool:
        """Return whether a process trains, or has just been started here."""
        process = _running.get(folder.path)
        if process is not None and process.poll() is None:
            return True
        _running.pop(folder.path, None)
        return folder.is_held

    def _variables(self, folder: WorkFolder) -> dict[str, str]:
        """Return what a process sees: what finds models, GPUs and trackers, no other key."""
        variables = {
            name: value
            for name, value in self.environment.items()
            if name in _VARIABLE_NAMES or name.startswith(_VARIABLE_BEGINNINGS)
        }
        path = os.pathsep.join([_ROOT, *(part for part in sys.path if part)])
        threads = str(folder.request().parameters["threads"])
        own = {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
        return variables | own | {"HF_HUB_OFFLINE": "1"}


def _arguments(action: str, folder: WorkFolder) -> tuple[str, ...]:
    return (sys.executable, "-X", "utf8", "-P", "-m", _MODULE, action, str(folder.path))


def _last_line(errors: bytes) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
