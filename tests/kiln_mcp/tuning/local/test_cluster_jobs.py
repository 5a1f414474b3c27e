"""Jobs for a cluster: what is written, and what comes back."""

from pathlib import Path

import pytest
import yaml

from kiln_mcp.llm import EngineSettings
from kiln_mcp.tuning.local.provider import LocalTuning, open_cluster
from kiln_mcp.tuning.local.ray_job import take_in
from kiln_mcp.tuning.local.work_folder import LocalState, WorkFolder
from kiln_mcp.tuning.providers.provider import TrainingRequest, TrainingState, check_parameters
from storage.errors import InvalidValue

NAME = "kiln-000000001234"


@pytest.fixture
def cluster(tmp_path: Path) -> LocalTuning:
    settings = EngineSettings(environment={}, tuned_models=tmp_path / "home" / "tuned_models.json")
    return open_cluster(settings)


async def begin(cluster: LocalTuning, tmp_path: Path) -> WorkFolder:
    data, project = tmp_path / "train.jsonl", tmp_path / "project"
    data.write_text('{"conversations": []}\n')
    project.mkdir()
    parameters = check_parameters(cluster.hyperparameters, {})
    request = TrainingRequest(NAME, "me/mine", project, data, 1, None, 0, parameters, 0)
    await cluster.start(request, await cluster.upload(request))
    return WorkFolder(cluster.work / NAME)


async def test_a_job_is_written_with_the_data_and_waits_to_be_started(
    cluster: LocalTuning, tmp_path: Path
) -> None:
    await cluster.check("me/mine")
    folder = await begin(cluster, tmp_path)
    task = yaml.safe_load((folder.path / "sky.yaml").read_text())
    assert task["workdir"] == "."
    assert task["run"].startswith("python -m kiln_mcp.tuning.local.trainer train")
    assert (folder.path / "train.jsonl").read_text() == '{"conversations": []}\n'
    request = folder.request()
    assert (request.base, request.is_watched, request.may_download) == ("me/mine", False, True)
    # Nobody starts it again, however often it is looked at.
    statuses = [await cluster.status(NAME) for _ in range(4)]
    assert {status.state for status in statuses} == {TrainingState.PENDING}
    assert f"sky launch -c {NAME} sky.yaml" in statuses[-1].message
    assert folder.starts() == [0]


async def test_what_comes_back_from_the_cluster_is_a_model(
    cluster: LocalTuning, tmp_path: Path
) -> None:
    folder = await begin(cluster, tmp_path)
    done = LocalState(state="completed", step=3, steps=3)
    take_in(
        folder.path,
        {
            "state.json": done.model_dump_json().encode(),
            "losses.jsonl": b'{"step": 1, "loss": 2.0}\n',
            "adapter/adapter_model.safetensors": b"weights",
        },
    )
    status = await cluster.status(NAME)
    assert status.state is TrainingState.COMPLETED
    name = await cluster.deploy(status.model, "From there")
    [adapter] = (tmp_path / "project" / "tuned_models").glob("*/adapter_model.safetensors")
    assert adapter.read_bytes() == b"weights"
    assert name.startswith("tuned/from-there-")


@pytest.mark.parametrize("name", ["embedded", "model.gguf"])
async def test_a_file_of_this_machine_is_no_base_for_a_cluster(
    cluster: LocalTuning, name: str
) -> None:
    with pytest.raises(InvalidValue, match="Give a name such as"):
        await cluster.check(name)
