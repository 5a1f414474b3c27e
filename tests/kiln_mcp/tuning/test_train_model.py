import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.jobs import Job, JobState
from kiln_mcp.llm.errors import KeyProblem
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.synthesis.service import split_data
from kiln_mcp.tuning.answers import TrainingCheck
from kiln_mcp.tuning.providers.registry import ProviderName, open_provider
from kiln_mcp.tuning.providers.service_client import ServiceFailure
from kiln_mcp.tuning.service import train_model
from storage import TaskRun
from storage.errors import InvalidValue, Refusal
from tuning_bench import BASES, Bench, open_bench
from tuning_services import KEY, PROVIDERS

EVERY = sorted(PROVIDERS)
COMPLETED = {
    "openai": "succeeded",
    "together_ai": "completed",
    "fireworks_ai": "JOB_STATE_COMPLETED",
    "vertex": "JOB_STATE_SUCCEEDED",
}
RUNNING = {
    "openai": "running",
    "together_ai": "running",
    "fireworks_ai": "JOB_STATE_RUNNING",
    "vertex": "JOB_STATE_RUNNING",
}
MODELS = {
    "openai": "openai/ft:gpt-4.1-mini-2025-04-14::1",
    "together_ai": "together_ai/me/Meta-Llama-3.1-8B-Instruct-Reference-kiln-",
    "fireworks_ai": "fireworks_ai/accounts/me/models/kiln-",
    "vertex": "vertex_ai/gemini/77",
}


@pytest.mark.parametrize("provider", EVERY)
async def test_a_model_is_trained_on_the_frozen_data_and_runs_with_its_prompt(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        answer = await bench.train()
        assert (answer.examples, answer.validation_examples) == (16, 10)
        assert answer.model.startswith(MODELS[provider])
        [training] = bench.services.trainings
        assert BASES[provider] in json.dumps(training.body)
        train, validation = sorted(bench.services.files.values(), key=len, reverse=True)
        assert (train.count(b"\n"), validation.count(b"\n")) == (16, 10)
        [record], [config] = await bench.records()
        assert (record.latest_status, record.provider_id) == ("completed", training.id)
        assert record.provider == provider
        assert record.fine_tune_model_id == answer.model
        assert (record.train_split_name, record.validation_split_name) == ("train", "val")
        assert config.prompt is not None
        assert config.prompt.prompt == record.system_message == "Answer."
        assert config.name == answer.run_config
        if provider == "fireworks_ai":
            assert bench.services.deployed == [training.body["outputModel"]]
        shown = json.dumps([record.model_dump(mode="json"), answer.model_dump(mode="json")])
        assert KEY not in shown


@pytest.mark.parametrize("provider", EVERY)
@pytest.mark.parametrize("fault", [429, 503, "lost"])
async def test_faults_that_pass_are_waited_out_while_files_are_sent_and_looked_at(
    tmp_path: Path, provider: str, fault: int | str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.faults["upload"] = [fault, fault]
        bench.services.faults["status"] = [fault]
        answer = await bench.train()
        assert answer.examples == 16
        assert len(bench.services.trainings) == 1


@pytest.mark.parametrize("provider", EVERY)
async def test_a_training_whose_start_was_not_heard_is_found_and_not_started_again(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.faults["start"] = ["reply lost"]
        await bench.train()
        assert len(bench.services.trainings) == 1


@pytest.mark.parametrize("provider", EVERY)
async def test_a_start_that_the_provider_never_saw_is_refused_with_its_reason(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.faults["start"] = [400, 400, 400]
        with pytest.raises(ServiceFailure, match="did not start the training") as refusal:
            await bench.train()
        assert "status 400" in str(refusal.value)
        assert KEY not in str(refusal.value)
        assert bench.services.trainings == []
        _, configs = await bench.records()
        assert configs == []


@pytest.mark.parametrize(
    ("provider", "state"),
    [
        ("openai", "failed"),
        ("openai", "cancelled"),
        ("together_ai", "error"),
        ("fireworks_ai", "JOB_STATE_FAILED"),
        ("vertex", "JOB_STATE_FAILED"),
    ],
)
async def test_a_training_that_fails_is_said_in_the_providers_words(
    tmp_path: Path, provider: str, state: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.states, bench.services.error = [state], "The 3rd example is too long."
        with pytest.raises(Refusal, match="was not completed") as refusal:
            await bench.train()
        if state != "cancelled":
            assert "The 3rd example is too long. Mend that" in str(refusal.value)
        [record], configs = await bench.records()
        assert record.latest_status == "failed"
        assert configs == []


async def test_a_look_at_a_training_sends_nothing(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        arguments: dict[str, Any] = {**bench.arguments, "provider": ProviderName.OPENAI}
        check = await train_model(bench.workspace, **arguments, only_check=True)
        assert isinstance(check, TrainingCheck)
        assert (check.examples, check.validation_examples, check.is_exact) == (16, 10, False)
        assert bench.services.files == {}
        records, configs = await bench.records()
        assert (records, configs) == ([], [])


async def test_a_look_ends_with_the_call_that_trains_the_same(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        wishes: dict[str, Any] = {
            "provider": ProviderName.OPENAI,
            "seed": 3,
            "parameters": {"epochs": 2},
        }
        arguments = {**bench.arguments, **wishes}
        check = await train_model(bench.workspace, **arguments, only_check=True)
        (step,) = check.next
        assert step.arguments is not None
        assert wishes.items() <= step.arguments.items()
        assert "despite_faults" not in step.arguments


@pytest.mark.parametrize("provider", EVERY)
async def test_a_state_that_nobody_knows_is_asked_again(tmp_path: Path, provider: str) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.states = ["polishing", RUNNING[provider], COMPLETED[provider]]
        assert (await bench.train()).model.startswith(MODELS[provider])
        [record], _ = await bench.records()
        assert record.latest_status == "completed"


@pytest.mark.parametrize("provider", EVERY)
async def test_a_training_that_is_gone_at_the_provider_is_a_sentence_and_no_model(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.faults["status"] = [404, 404]  # Fireworks finds by it too
        with pytest.raises(ServiceFailure, match=r"did not tell how far it is.*status 404"):
            await bench.train()
        [record], configs = await bench.records()
        assert record.latest_status != "completed"
        assert configs == []


async def test_an_adapter_that_cannot_be_deployed_is_a_sentence_and_no_model(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "fireworks_ai") as bench:
        bench.services.faults["deploy"] = [404]
        with pytest.raises(ServiceFailure, match=r"did not deploy .*status 404"):
            await bench.train()
        _, configs = await bench.records()
        assert configs == []


async def test_a_reply_that_is_no_json_is_a_sentence(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        bench.services.faults["find"] = ["garbage"]
        with pytest.raises(ServiceFailure, match="its reply is no JSON"):
            await bench.train()


@pytest.mark.parametrize("provider", EVERY)
async def test_a_missing_key_or_setting_is_said_before_anything_is_sent(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        engine = replace(bench.workspace.settings.engine, environment={})
        settings = replace(bench.workspace.settings, engine=engine)
        without = replace(bench, workspace=replace(bench.workspace, settings=settings))
        with pytest.raises(KeyProblem, match="needs a key and none is set"):
            await without.train()
        for name in ("FIREWORKS_ACCOUNT_ID", "VERTEXAI_PROJECT"):
            rest = dict(bench.workspace.settings.engine.environment)
            if rest.pop(name, None) is not None:
                engine = replace(engine, environment=rest)
                settings = replace(settings, engine=engine)
                partial = replace(bench, workspace=replace(bench.workspace, settings=settings))
                with pytest.raises(KeyProblem, match=name):
                    await partial.train()
        assert bench.services.files == {}


async def test_a_key_that_is_not_accepted_is_named_by_its_variable_and_never_shown(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        bad = {**bench.workspace.settings.engine.environment, "OPENAI_API_KEY": "sk-wrong-12345678"}
        engine = replace(bench.workspace.settings.engine, environment=bad)
        settings = replace(bench.workspace.settings, engine=engine)
        with pytest.raises(KeyProblem, match="does not accept the key in OPENAI_API_KEY") as told:
            await replace(bench, workspace=replace(bench.workspace, settings=settings)).train()
        assert "sk-wrong" not in str(told.value)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"epoch": 2}, "no parameter 'epoch'. Valid: epochs (an integer from 1 to 50)"),
        ({"epochs": 0}, "epochs has to be an integer from 1 to 50, and it is 0"),
        ({"epochs": 1.5}, "epochs has to be an integer"),
        ({"epochs": "many"}, "and it is 'many'"),
        ({"epochs": True}, "and it is True"),
    ],
)
async def test_parameters_that_a_provider_does_not_take_are_refused_with_its_ranges(
    tmp_path: Path, parameters: dict[str, Any], sentence: str
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        with pytest.raises(InvalidValue) as refusal:
            await bench.train(parameters=parameters)
        assert sentence in str(refusal.value)
        assert bench.services.files == {}


async def test_vertex_needs_a_bucket_and_takes_sizes_by_name(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "vertex") as bench:
        with pytest.raises(InvalidValue, match="the parameter bucket is missing; give your bucket"):
            await bench.train(parameters={})
        with pytest.raises(InvalidValue, match="1 or 2 or 4 or 8 or 16"):
            await bench.train(parameters={"bucket": "b", "adapter_size": "3"})
        chosen = {"bucket": "b", "adapter_size": "4", "epochs": 3, "learning_rate_multiplier": 2}
        await bench.train(parameters=chosen)
        settings = bench.services.trainings[0].body["supervisedTuningSpec"]["hyperParameters"]
        assert settings == {
            "epochCount": "3",
            "learningRateMultiplier": 2.0,
            "adapterSize": "ADAPTER_SIZE_FOUR",
        }


async def test_data_that_leaks_is_refused_by_line_unless_it_is_wanted(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        store, task = await bench.store()
        runs = await store.children(task, TaskRun)
        train = next(run for run in runs if "train_right" in run.tags)
        held = next(run for run in runs if "test_right" in run.tags)
        await store.save(train.replace(input=held.input))
        with pytest.raises(Refusal, match=r"line \d+ of train: its input is nearly that of run"):
            await bench.train()
        assert bench.services.files == {}
        assert (await bench.train(despite_faults=True)).fault_counts


async def test_data_that_contradicts_itself_is_refused_by_line_unless_it_is_wanted(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        store, task = await bench.store()
        first, second = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags][
            :2
        ]
        await store.save(second.replace(input=first.input))
        pattern = r"line \d+ of train: line \d+ of train has the same input and the answer"
        with pytest.raises(Refusal, match=pattern):
            await bench.train()
        assert bench.services.files == {}
        assert (await bench.train(despite_faults=True)).fault_counts


async def test_too_few_examples_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        store, task = await bench.store()
        train = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags]
        for run in train[:7]:
            await store.save(run.replace(tags=(*run.tags, "test_other")))
        with pytest.raises(Refusal, match="takes 10 examples or more, and the file of train has 9"):
            await bench.train()


async def test_the_person_is_told_what_goes_where_before_it_goes(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        alone = replace(bench, workspace=replace(bench.workspace, person=None))
        with pytest.raises(MissingApproval) as refusal:
            await alone.train()
        plan = str(refusal.value)
        assert f"Train {BASES['openai']} at OpenAI on 16 of train, 10 of val" in plan
        assert "read 2 times" in plan
        assert f"Data is sent to {bench.services.address}" in plan
        assert "at the provider's price, which is not known here" in plan
        assert bench.services.files == {}


async def job_of(bench: Bench) -> tuple[Job, Any]:
    job_client = bench.workspace.job_client
    assert job_client is not None
    runner = await job_client.runner()
    return await runner.start("train_model", bench.arguments), runner


async def test_a_call_through_a_door_returns_with_its_job_while_the_training_goes_on(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        bench.services.states = ["running"]
        outcome = await call_capability(bench.workspace, train_model, bench.arguments, wait_s=0)
        assert outcome.status == "job"
        job_client = bench.workspace.job_client
        assert job_client is not None
        runner = await job_client.runner()
        with anyio.fail_after(60):
            await bench.services.has_started.wait()
            assert not (await runner.find(outcome.job)).state.at_rest
            await runner.cancel(outcome.job)
            assert (await runner.wait(outcome.job, 60)).state is JobState.CANCELLED


@pytest.mark.parametrize("provider", EVERY)
async def test_a_job_that_is_cancelled_cancels_the_training_at_the_provider(
    tmp_path: Path, provider: str
) -> None:
    async with open_bench(tmp_path, provider) as bench:
        bench.services.states = [RUNNING[provider]]
        with anyio.fail_after(60):
            job, runner = await job_of(bench)
            await bench.services.has_started.wait()
            await runner.cancel(job.id)
            ended = await runner.wait(job.id, 60)
        assert ended.state is JobState.CANCELLED
        assert bench.services.trainings[0].is_cancelled


async def test_a_job_that_is_paused_leaves_the_training_and_finds_it_when_resumed(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        bench.services.states = ["running"]
        with anyio.fail_after(60):
            job, runner = await job_of(bench)
            await bench.services.has_started.wait()
            await runner.pause(job.id)
            paused = await runner.wait(job.id, 60)
            assert paused.state is JobState.PAUSED
            bench.services.trainings[0].states = ["succeeded"]
            await runner.resume(job.id)
            done = await runner.wait(job.id, 60)
        assert done.state is JobState.DONE, done.error
        assert len(bench.services.trainings) == 1
        assert not bench.services.trainings[0].is_cancelled
        [record], [config] = await bench.records()
        assert record.fine_tune_model_id == MODELS["openai"]
        assert config.name == "Tuned"


@pytest.mark.parametrize("provider", EVERY)
async def test_a_training_that_has_ended_is_not_cancelled(tmp_path: Path, provider: str) -> None:
    async with open_bench(tmp_path, provider) as bench:
        await bench.train()
        [training] = bench.services.trainings
        training.states = training.states[-1:]
        engine = bench.workspace.settings.engine
        await open_provider(ProviderName(provider), engine).cancel(training.id)
        assert not training.is_cancelled


@pytest.mark.parametrize("action", ["data set", "upload", "ready", "start", "status", "deploy"])
async def test_fireworks_goes_on_after_a_stop_at_any_step(tmp_path: Path, action: str) -> None:
    async with open_bench(tmp_path, "fireworks_ai") as bench:
        job_client = bench.workspace.job_client
        assert job_client is not None
        bench.services.faults[action] = [400]
        with anyio.fail_after(30):
            job, runner = await job_of(bench)
            failed = await runner.wait(job.id, 60)
            assert failed.state is JobState.FAILED
            await runner.resume(job.id)
            done = await runner.wait(job.id, 60)
        assert done.state is JobState.DONE, done.error
        assert len(bench.services.trainings) == 1
        assert bench.services.deployed == [bench.services.trainings[0].body["outputModel"]]


async def test_fireworks_deploys_once(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "fireworks_ai") as bench:
        await bench.train()
        engine = bench.workspace.settings.engine
        provider = open_provider(ProviderName.FIREWORKS, engine)
        [model] = bench.services.deployed
        assert await provider.deploy(model, "again") == f"fireworks_ai/{model}"
        bench.services.faults["deploy"] = [400]
        with pytest.raises(ServiceFailure, match="did not deploy"):
            await provider.deploy(model, "again")


async def test_a_task_with_a_schema_is_trained_on_json_and_a_run_configs_prompt_is_taken(
    tmp_path: Path,
) -> None:
    async with open_bench(tmp_path, "openai") as bench:
        store, task = await bench.store()
        schema = '{"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}'
        for run in await store.children(task, TaskRun):
            answer = json.dumps({"n": run.output.output})
            await store.save(run.replace(output=run.output.replace(output=answer)))
        await store.save(task.replace(output_json_schema=schema))
        await create_run_config(
            bench.workspace, bench.project, name="Terse", prompt="Be terse.", model="openai/gpt-4.1"
        )
        answer = await bench.train(run_config="Terse")
        lines = bench.services.files["file-1"].decode().splitlines()
        first = json.loads(lines[0])["messages"]
        assert first[0] == {"role": "system", "content": "Be terse."}
        assert json.loads(first[-1]["content"])["n"].startswith("answer ")
        _, configs = await bench.records()
        tuned = next(config for config in configs if config.name == answer.run_config)
        assert tuned.prompt is not None
        assert tuned.prompt.prompt == "Be terse."


async def test_a_split_without_a_part_to_learn_trains_nothing(tmp_path: Path) -> None:
    async with open_bench(tmp_path, "together_ai") as bench:
        await split_data(bench.workspace, bench.project, "One", train=1, freeze="One part")
        answer = await bench.train(split="One part")
        assert (answer.examples, answer.validation_examples) == (26, 0)
        assert len(bench.services.files) == 1
        await split_data(bench.workspace, bench.project, "Only", test=1, freeze="Only test")
        with pytest.raises(Refusal, match="has no part to learn from; it has test"):
            await bench.train(split="Only test")
