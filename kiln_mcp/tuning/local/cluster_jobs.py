"""Jobs for a person's cluster: files that train there what a folder here holds.

The job runs the trainer of this machine. It is started by the person, with SkyPilot or Ray. The
training here waits until the folder has what came out.
"""

from importlib.metadata import version
from typing import Final

import yaml

from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.work_folder import LocalState, WorkFolder
from storage.atomic_write import write_atomically

SKY_FILE: Final = "sky.yaml"
_GPU: Final = "L4:1"
_PACKAGE: Final = "kiln-mcp-server"


class ClusterJobs:
    """Writes jobs in place of starting processes."""

    def check(self) -> None:
        """Nothing needs to be installed here."""

    async def examine(self, folder: WorkFolder) -> Outlook:
        """Return an outlook that knows nothing: the base is elsewhere."""
        return Outlook()

    def start(self, folder: WorkFolder) -> None:
        """Write the job; how to start it becomes the training's message."""
        text = yaml.safe_dump(sky_task(folder.path.name), sort_keys=False)
        write_atomically(folder.path / SKY_FILE, text.encode())
        name = folder.path.name
        message = (
            f"its job waits in {folder.path}: run there `sky launch -c {name} {SKY_FILE}`, then "
            f"`rsync -a {name}:sky_workdir/ ./`; or, with Ray, `python -m "
            f"kiln_mcp.tuning.local.ray_job {folder.path}`"
        )
        folder.write("state.json", LocalState(message=message))

    def is_started(self, folder: WorkFolder) -> bool:
        """Return that it is in other hands: this machine starts nothing again."""
        return True


def sky_task(name: str) -> dict[str, object]:
    """Return a SkyPilot task that trains what its working folder holds.

    Source:
        SkyPilot's documentation, "Task YAML".
    """
    return {
        "name": name,
        "workdir": ".",
        "resources": {"accelerators": _GPU},
        "setup": f"pip install '{_PACKAGE}[tune]=={version(_PACKAGE)}'\n",
        "run": 'python -m kiln_mcp.tuning.local.trainer train "$PWD"\n',
    }
