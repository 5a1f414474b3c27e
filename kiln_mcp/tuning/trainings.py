"""Train a model at a provider: upload, start once, watch, deploy, record.

Every step can be cut off by a kill: the provider keeps the record's id as the name of the training,
so that the next attempt finds what the first one started.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from kiln_mcp.jobs import JobState
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import PromptText
from kiln_mcp.tuning.answers import TrainedModel
from kiln_mcp.tuning.export import Recipe
from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.providers.provider import (
    Draft,
    Forecast,
    TrainingRequest,
    TrainingState,
    TrainingStatus,
    TuningProvider,
    Value,
)
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.providers.service_client import ServiceFailure
from kiln_mcp.tuning.training_files import FrozenData, TrainingData, write_training_files
from kiln_mcp.workbench.workspace import Workspace
from storage import Finetune, Project, Task, TaskRunConfig
from storage.errors import NextStep, Refusal

TRAIN: Final = "train"
VALIDATION: Final = "val"
POLLS: Final = 15
"""How many times longer than a door's look at a job a look at a training elsewhere waits."""
CANCEL_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Training:
    """A training as it was approved.

    Attributes:
        workspace: Of the caller.
        data: The frozen split and its task.
        training_data: The files to learn from.
        recipe: How they were made.
        provider_name: Who trains.
        provider: The same, ready to be asked.
        base_model: What is trained, as the provider names it.
        name: Of the record, and of the run config of what comes out.
        parameters: Checked.
        seed: Of whatever is random.
        record_id: The id of its record, the same for all attempts at a job.
        config_id: The id of its run config, likewise.
        forecast: What the provider says beforehand, once it was asked.
    """

    workspace: Workspace
    data: FrozenData
    training_data: TrainingData
    recipe: Recipe
    provider_name: ProviderName
    provider: TuningProvider
    base_model: str
    name: str
    parameters: Mapping[str, Value]
    seed: int
    record_id: str
    config_id: str
    forecast: Forecast = field(default_factory=Forecast)

    @property
    def tokens(self) -> int:
        """The tokens that are learnt, by the model's tokenizer or prefix."""
        exact = self.forecast.tokens
        return self.training_data.tokens if exact is None else exact

    @property
    def tokens_text(self) -> str:
        """The tokens in words."""
        prefix = "about " if self.forecast.tokens is None else ""
        return f"{prefix}{self.tokens:,} tokens"

    @property
    def part_names(self) -> tuple[str, str | None]:
        """The part that is learnt, and the one that it is validated on; None for none."""
        names = [file.part for file in self.training_data.files]
        return names[0], names[1] if len(names) > 1 else None


async def train(training: Training) -> TrainedModel:
    """Train a model, and save what came out as a run config with the prompt of its training.

    Raises:
        Refusal: The provider says that the training failed or was cancelled.
        ServiceFailure: The provider refused, or cannot be reached.
    """
    record = await _find_record(training)
    if record is None:
        training = await with_forecast(training)
        record = await _make_record(training)
    try:
        training_id = record.provider_id
        if training_id is None:
            record, training_id = await _start(training, record)
        elif record.latest_status == TrainingState.FAILED:
            await training.provider.go_on(training_id)
        record = await _watch(training, record, training_id)
    except anyio.get_cancelled_exc_class():
        await _cancel(training, record)
        raise
    config = await _save_run_config(training, record)
    return _answer(training, record, config)


async def with_forecast(training: Training) -> Training:
    """Return a training with what its provider knows of it; that may take minutes.

    Raises:
        Refusal: This machine cannot train it; the sentence says why.
    """
    await training.workspace.report(
        0, None, f"Looking at the base and the data: {training.provider.title}."
    )
    train_file = training.training_data.files[0].content.path
    draft = Draft(training.base_model, train_file, training.parameters, training.seed)
    return replace(training, forecast=await training.provider.look(draft))


async def _find_record(training: Training) -> Finetune | None:
    """Return the record that an attempt before a kill has made."""
    records = await training.data.store.children(training.data.task, Finetune)
    return next((record for record in records if record.id == training.record_id), None)


async def _make_record(training: Training) -> Finetune:
    store, task = training.data.store, training.data.task
    train_part, validation_part = training.part_names
    instructions, thinking = training.recipe.instructions, training.recipe.thinking
    draft = Finetune(
        id=training.record_id,
        name=training.name,
        provider=training.provider_name,
        base_model_id=training.base_model,
        dataset_split_id=training.data.split.id,
        train_split_name=train_part,
        validation_split_name=validation_part,
        parameters=dict(training.parameters),
        system_message=instructions.full_text,
        thinking_instructions=(
            None if thinking in {Thinking.FINAL_ONLY, Thinking.TAGGED} else instructions.thinking
        ),
        latest_status="pending",
        data_strategy=thinking,
    )
    return await store.save(draft, parent=task, is_patient=True)


async def _start(training: Training, record: Finetune) -> tuple[Finetune, str]:
    """Start the training, unless an earlier attempt did; return the record, and its id there."""
    provider, store, split = training.provider, training.data.store, training.data.split
    name = f"kiln-{record.id}"
    training_id = await provider.find(name)
    if training_id is None:
        action = "Preparing the data" if provider.is_local else "Uploading the data"
        await training.workspace.report(0, None, f"{action}: {provider.title}.")
        await write_training_files(store, split, None, training.training_data.files)
        request = _request(training, name, store.side_folder(split))
        files = await provider.upload(request)
        try:
            training_id = await provider.start(request, files)
        except ServiceFailure as error:
            if error.status:
                raise
            training_id = await provider.find(name)  # only its reply was lost
            if training_id is None:
                raise
    changed = record.replace(provider_id=training_id)
    return await store.save(changed, is_patient=True), training_id


def _request(training: Training, name: str, folder: Path) -> TrainingRequest:
    files = training.training_data.files
    validation = files[1] if len(files) > 1 else None
    return TrainingRequest(
        name=name,
        base_model=training.base_model,
        project=training.data.store.folder,
        train_file=folder / files[0].name,
        train_examples=files[0].counts.examples,
        validation_file=folder / validation.name if validation else None,
        validation_examples=validation.counts.examples if validation else 0,
        parameters=training.parameters,
        seed=training.seed,
    )


async def _watch(training: Training, record: Finetune, training_id: str) -> Finetune:
    """Wait until the training has ended; return the record with the model.

    Raises:
        Refusal: It failed or was cancelled.
    """
    provider, workspace = training.provider, training.workspace
    while True:
        status = await provider.status(training_id)
        record = await _with_status(training, record, status)
        if status.state is TrainingState.COMPLETED and (status.model or record.fine_tune_model_id):
            break
        if status.state in {TrainingState.FAILED, TrainingState.CANCELLED}:
            raise Refusal(
                "The training of {base} at {provider} was not completed: it is {state}. "
                "The reason given: {reason}. Mend that, then train again, or resume the job if it "
                "trains on this machine; the data is kept beside the frozen split.",
                base=training.base_model,
                provider=provider.title,
                state=status.state,
                reason=(status.message or "nothing").rstrip("."),
            )
        message = f"{provider.title}: {status.message or status.state}."
        await workspace.report(status.step, status.steps or None, message)
        await workspace.engine.pause_point()
        await anyio.sleep(workspace.settings.poll_s * (1 if provider.is_local else POLLS))
    name = await provider.deploy(status.model or str(record.fine_tune_model_id), record.name)
    changes = {"fine_tune_model_id": name, "latest_status": "completed"}
    return await training.data.store.save(record.replace(**changes), is_patient=True)


async def _with_status(training: Training, record: Finetune, status: TrainingStatus) -> Finetune:
    """Return the record with the provider's state, saved if that is new."""
    state = TrainingState.FAILED if status.state is TrainingState.CANCELLED else status.state
    if state is TrainingState.COMPLETED or record.latest_status == state:
        return record  # completed is said when the model answers
    changed = record.replace(latest_status=str(state))
    return await training.data.store.save(changed, is_patient=True)


async def _cancel(training: Training, record: Finetune) -> None:
    """Cancel the training at the provider if a person cancelled its job, and not at a pause."""
    workspace = training.workspace
    with anyio.move_on_after(CANCEL_S, shield=True):
        if not workspace.job:
            return
        runner = await job_client_of(workspace).runner()
        if (await runner.find(workspace.job)).state is not JobState.CANCELLING:
            return
        training_id = record.provider_id or await training.provider.find(f"kiln-{record.id}")
        if training_id is not None:
            await training.provider.cancel(training_id)


async def _save_run_config(training: Training, record: Finetune) -> TaskRunConfig:
    """Save the run config of the trained model, with the prompt of its training; once."""
    store, task = training.data.store, training.data.task
    for config in await store.children(task, TaskRunConfig):
        if config.id == training.config_id:
            return config
    text = PromptText(record.system_message, record.thinking_instructions)
    draft = _run_config(store.project, task, record, text, training.config_id)
    return await store.save(draft, parent=task, is_patient=True)


def _run_config(
    project: Project, task: Task, record: Finetune, text: PromptText, config_id: str
) -> TaskRunConfig:
    definition = RunConfigDefinition(name=record.name, prompt=text.prompt)
    model = str(record.fine_tune_model_id)
    return make_run_config(project, task, definition, model, text, config_id)


def _answer(training: Training, record: Finetune, config: TaskRunConfig) -> TrainedModel:
    counts = [file.counts.examples for file in training.training_data.files]
    return TrainedModel(
        finetune=record.name,
        provider=training.provider.title,
        base_model=record.base_model_id,
        model=str(record.fine_tune_model_id),
        run_config=config.name,
        examples=counts[0],
        validation_examples=sum(counts[1:]),
        tokens=training.tokens,
        parameters=dict(record.parameters),
        faults=training.training_data.shown_faults,
        fault_counts=training.training_data.fault_counts,
        next=[
            NextStep(
                tool="run_eval",
                reason=f"compare {config.name!r} with its base and with the best prompt on test",
                arguments={"project": str(training.data.store.folder)},
            )
        ],
    )
