"""Distillation at a service on the loopback: the teacher is right about nine of ten inputs."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.evals.service import create_evaluator
from kiln_mcp.jobs import JobState
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.tuning.answers import DistilledModel
from kiln_mcp.tuning.distillation_service import distil_model
from kiln_mcp.tuning.providers.registry import ProviderName
from storage import DatasetSplit
from storage.errors import InvalidValue, RecordNotFound, Refusal
from tiny_model import make_tiny_model
from tuning_bench import BASES, Bench, open_bench

BASE = BASES["openai"]


@asynccontextmanager
async def open_distillation(tmp_path: Path, teacher: str = "teacher") -> AsyncGenerator[Bench]:
    async with open_bench(tmp_path, "openai") as bench:
        workspace, project = bench.workspace, bench.project
        await create_run_config(workspace, project, name="Teacher", model=f"openai/{teacher}")
        await create_evaluator(
            workspace, project, "Exact", "exact_match", reference_key="reference_answer"
        )
        yield bench


def arguments(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "teacher": "Teacher",
        "provider": ProviderName.OPENAI,
        "base_model": BASE,
        "eval": "Exact",
        "name": "Student",
        "parameters": {"epochs": 2},
    }
    return usual | changes


async def distil(bench: Bench, **changes: Any) -> DistilledModel:
    return await distil_model(bench.workspace, bench.project, **arguments(**changes))


async def test_only_outputs_that_the_eval_passes_are_learnt(tmp_path: Path) -> None:
    async with open_distillation(tmp_path) as bench:
        result = await distil(bench)
        train, val = result.parts
        assert (train.part, train.items, val.items) == ("train", 16, 10)
        assert 10 <= train.verified_outputs < 16
        learnt = max(bench.services.files.values(), key=len).decode().splitlines()
        assert len(learnt) == train.verified_outputs == result.model.examples
        for line in learnt:
            messages = json.loads(line)["messages"]
            number = messages[1]["content"].split()[0].removeprefix("word")
            assert messages[2]["content"] == f"answer {number}"
        store, task = await bench.store()
        splits = {split.name: split for split in await store.children(task, DatasetSplit)}
        assert len(splits[result.frozen_split].split_contents["train"]) == train.verified_outputs


async def test_outputs_that_contradict_a_right_answer_are_not_learnt(tmp_path: Path) -> None:
    async with open_distillation(tmp_path, "sure-teacher") as bench:
        await create_evaluator(
            bench.workspace, bench.project, "Form", "contains", substring="answer"
        )
        result = await distil(bench, eval="Form")
        train = result.parts[0]
        assert train.compared_outputs == train.items == 16
        assert 0 < train.contradicted_outputs == 16 - train.verified_outputs < 6
        learnt = max(bench.services.files.values(), key=len).decode()
        assert learnt.count("\n") == train.verified_outputs
        assert "answer 999" not in learnt


@pytest.mark.torch
@pytest.mark.skipif(find_spec("peft") is None, reason="needs the extra `tune`")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)
async def test_a_model_on_this_machine_learns_the_verified_outputs_of_a_service(
    tmp_path: Path,
) -> None:
    base = tmp_path / "tiny"
    base.mkdir()
    make_tiny_model(base)
    async with open_distillation(tmp_path, "sure-teacher") as bench:
        await create_evaluator(
            bench.workspace, bench.project, "Form", "contains", substring="answer"
        )
        changes: dict[str, Any] = {
            "eval": "Form",
            "provider": ProviderName.LOCAL,
            "base_model": str(base),
            "parameters": {"epochs": 1, "niceness": 0},
        }
        alone = replace(bench, workspace=replace(bench.workspace, person=None))
        with pytest.raises(MissingApproval, match="on this machine on it"):
            await distil(alone, **changes)
        result = await distil(bench, **changes)
        assert result.parts[0].contradicted_outputs > 0
        assert result.model.examples == result.parts[0].verified_outputs
        models = await bench.workspace.engine.models([])
        assert result.model.model in {model.name for model in models}


async def test_what_an_evaluator_compares_is_not_compared_again(tmp_path: Path) -> None:
    async with open_distillation(tmp_path) as bench:
        result = await distil(bench)
        assert [part.compared_outputs for part in result.parts] == [0, 0]


async def test_a_teacher_that_is_wrong_trains_nothing(tmp_path: Path) -> None:
    async with open_distillation(tmp_path, BASE) as bench:
        with pytest.raises(Refusal, match="0 of 16 outputs of Teacher are verified"):
            await distil(bench)
        assert bench.services.files == {}


async def test_the_plan_says_what_is_asked_and_where_it_is_trained(tmp_path: Path) -> None:
    async with open_distillation(tmp_path) as bench:
        alone = replace(bench, workspace=replace(bench.workspace, person=None))
        with pytest.raises(MissingApproval) as refusal:
            await distil(alone)
        plan = str(refusal.value)
        assert "Let Teacher answer 16 inputs of train" in plan
        assert f"train {BASE} at OpenAI" in plan
        assert "About 26 model calls" in plan
        assert f"Data is sent to {bench.services.address}" in plan
        assert bench.services.trainings == []


async def test_a_job_that_failed_while_it_trained_goes_on_with_the_same_data(
    tmp_path: Path,
) -> None:
    async with open_distillation(tmp_path) as bench:
        bench.services.faults["status"] = [400]
        job_client = bench.workspace.job_client
        assert job_client is not None
        with anyio.fail_after(60):
            runner = await job_client.runner()
            values = {"project": bench.project, **arguments()}
            job = await runner.start("distil_model", values)
            failed = await runner.wait(job.id, 60)
            assert failed.state is JobState.FAILED, failed.error
            await runner.resume(job.id)
            done = await runner.wait(job.id, 60)
        assert done.state is JobState.DONE, done.error
        assert len(bench.services.trainings) == 1
        store, task = await bench.store()
        names = [split.name for split in await store.children(task, DatasetSplit)]
        assert sorted(names) == ["F", "Student by Teacher"]


async def test_without_what_verifies_nothing_is_asked(tmp_path: Path) -> None:
    async with open_distillation(tmp_path) as bench:
        with pytest.raises(InvalidValue, match="name a `spec`"):
            await distil(bench, eval=None)
        with pytest.raises(RecordNotFound):
            await distil(bench, eval=None, spec="No such spec")
        with pytest.raises(InvalidValue, match="there is no parameter 'rank'"):
            await distil(bench, parameters={"rank": 4})
