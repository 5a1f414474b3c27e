"""Losses in trackio and Weights & Biases, both without a network; no torch is needed."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from kiln_mcp.tuning.local.trainer.faults import Unusable
from kiln_mcp.tuning.local.trainer.trackers import NoTracker, check_tracker, open_tracker
from kiln_mcp.tuning.local.work_folder import LocalRequest

PROGRAM = """
import sys
from kiln_mcp.tuning.local.trainer.trackers import open_tracker
from kiln_mcp.tuning.local.work_folder import LocalRequest, LossPoint
request = LocalRequest(title="t", base="b", parameters={"report_to": sys.argv[1], "epochs": 2})
for first in (1, 3):  # the second part goes on after a kill
    tracker = open_tracker(request, "kiln-7")
    for step in (first, first + 1):
        tracker.log(LossPoint(step=step, loss=1.0 / step, validation=0.5, tokens=9, seconds=0.1))
    tracker.finish()
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("module", ["trackio", "wandb"])
def test_losses_are_kept_on_this_machine(module: str, tmp_path: Path) -> None:
    if find_spec(module) is None:
        pytest.skip(f"needs {module}")
    variables = {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "TRACKIO_DIR": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, module],
        env={**os.environ, **variables},
        cwd=tmp_path,
        check=True,
        timeout=280,
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert b"kiln-7" in content
    assert b"validation" in content


def test_without_a_tracker_nothing_is_shown() -> None:
    request = LocalRequest(title="t", base="b", parameters={})
    assert isinstance(open_tracker(request, "kiln-7"), NoTracker)
    check_tracker("none")


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_tracker_that_is_missing_is_said_with_the_command_that_installs_it() -> None:
    with pytest.raises(Unusable, match=r"kiln-mcp-server\[wandb\]"):
        check_tracker("wandb")
