"""A training by Ray on this machine; needs the extras `tune` and `ray`."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from kiln_mcp.tuning.local.ray_job import run
from kiln_mcp.tuning.local.trainer.libraries import library
from kiln_mcp.tuning.local.work_folder import LocalRequest, WorkFolder
from tiny_model import conversations, make_tiny_model, write_conversations

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("peft") is None, reason="needs the extra `tune`"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`"),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(600),
]


def test_ray_trains_a_folder_and_brings_back_what_comes_out(tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "base")
    folder = WorkFolder(tmp_path / f"kiln-ray-{tmp_path.name}")
    folder.path.mkdir()
    write_conversations(folder.path / "train.jsonl", conversations(12))
    parameters: dict[str, str | int | float | bool] = {
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 0.02,
        "lora_rank": 2,
        "lora_alpha": 4.0,
        "lora_dropout": 0.0,
        "weight_decay": 0.0,
        "warmup_ratio": 0.1,
        "patience": 0,
        "max_tokens": 64,
        "checkpoint_steps": 2,
        "threads": 1,
        "niceness": 0,
    }
    request = LocalRequest(
        title="tiny", base=str(base), parameters=parameters, is_watched=False, may_download=True
    )
    folder.write("request.json", request)
    ray = library("ray")
    ray.init(include_dashboard=False, num_cpus=1)
    try:
        run(folder.path, 0, ray)
    finally:
        ray.shutdown()
    assert folder.state().state == "completed", folder.state().message
    assert (folder.adapter / "adapter_model.safetensors").stat().st_size > 0
    assert len(folder.losses()) == 6
