"""What is checked and planned before a model is trained."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import HELD_OUT
from kiln_mcp.tuning.answers import TrainingCheck
from kiln_mcp.tuning.data_check import DataFaultKind
from kiln_mcp.tuning.file_limits import check_files
from kiln_mcp.tuning.formats import NEEDS_SCHEMA, ExportFormat, Thinking
from kiln_mcp.tuning.providers.provider import TuningProvider
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.training_files import TrainingData
from kiln_mcp.tuning.trainings import TRAIN, VALIDATION, Training
from storage import DatasetSplit
from storage.errors import NextStep, Refusal

GRAVE = frozenset({DataFaultKind.LEAK, DataFaultKind.CONTRADICTION, DataFaultKind.EMPTY})
"""Faults that make a training useless, or its measurement: a person must want it despite them."""
_MOST_NAMED = 3


def choose_shape(
    shapes: Sequence[ExportFormat], schema: Mapping[str, JsonValue] | None, thinking: Thinking
) -> ExportFormat:
    """Return the format to train in: with the schema if there is one and its answers fit it.

    Args:
        shapes: What the provider reads, the usual one first.
        schema: JSON Schema of the output; None for plain text.
        thinking: What becomes of the reasoning.
    """
    if schema is not None and thinking is not Thinking.TAGGED:
        return next((shape for shape in shapes if shape in NEEDS_SCHEMA), shapes[0])
    return shapes[0]


def parts_to_learn(frozen: DatasetSplit) -> list[str]:
    """Return the part that is learnt, and the one that it is validated on if there is one.

    Raises:
        Refusal: The split has no part to learn.
    """
    parts = [part for part in frozen.split_contents if part not in HELD_OUT]
    learnt = TRAIN if TRAIN in parts else next(iter(parts), None)
    if learnt is None:
        raise Refusal(
            "Nothing was trained: the split '{split}' has no part to learn from; it has {parts}.",
            split=frozen.name,
            parts=list(frozen.split_contents),
            next=[NextStep(tool="split_data", reason="deal a split with a part train")],
        )
    return [learnt, VALIDATION] if VALIDATION in parts and learnt != VALIDATION else [learnt]


def check_training_data(
    data: TrainingData, provider: TuningProvider, *, despite_faults: bool
) -> None:
    """Refuse data that a provider does not take, or that spoils the training or its measurement.

    Raises:
        Refusal: It is so; the sentence names the lines.
    """
    check_files(provider, data.files)
    grave = [fault for fault in data.faults.gravest if fault.kind in GRAVE]
    if grave and not despite_faults:
        lines = [
            f"line {fault.line} of {fault.part}: {fault.reason}" for fault in grave[:_MOST_NAMED]
        ]
        raise Refusal(
            "Nothing was trained: {count} examples spoil the training or what evals measure. "
            "{reason}. Take them out of the split, or train all the same with "
            "despite_faults=true.",
            count=sum(data.faults.counts.get(kind, 0) for kind in GRAVE),
            reason="; ".join(lines),
        )


def plan_training(training: Training) -> Plan:
    """Return the plan of a training: what is sent where, and what is wrong with it."""
    files = training.training_data.files
    counts = ", ".join(f"{file.counts.examples} of {file.part}" for file in files)
    provider = training.provider
    epochs = training.parameters.get("epochs")
    epochs_text = f", read {epochs} times" if epochs else ""
    is_here = training.provider_name is ProviderName.LOCAL
    place = f"{'on' if provider.is_local else 'at'} {provider.title}"
    place += ", free of charge" if is_here else ""
    price = "" if provider.is_local else ", at the provider's price, which is not known here"
    return Plan(
        f"Train {training.base_model} {place} on {counts} "
        f"({training.tokens_text}{epochs_text}){price}.{training.training_data.warning}",
        highest_cost_usd=0.0 if provider.is_local else None,
        destination=provider.address or _tracker_of(training),
        is_long=True,
    )


def _tracker_of(training: Training) -> str:
    """Return who is sent the losses, besides the provider; "" for nobody."""
    return "Weights & Biases" if training.parameters.get("report_to") == "wandb" else ""


def report_check(training: Training, arguments: Mapping[str, JsonValue]) -> TrainingCheck:
    """Return what is known of a training before it starts, and the call that starts it.

    Args:
        training: Not started.
        arguments: Of the call that asks for it, but for the project and the split.
    """
    data, forecast = training.training_data, training.forecast
    counts = [file.counts.examples for file in data.files]
    return TrainingCheck(
        provider=training.provider.title,
        base_model=training.base_model,
        examples=counts[0],
        validation_examples=sum(counts[1:]),
        tokens=training.tokens,
        is_exact=forecast.tokens is not None,
        parameters=dict(training.parameters),
        outlook=forecast.sentence,
        learnt=list(forecast.learnt),
        faults=data.shown_faults,
        fault_counts=data.fault_counts,
        next=[
            NextStep(
                tool="train_model",
                reason="train it: the same call without only_check",
                arguments={
                    "project": str(training.data.store.folder),
                    "split": training.data.split.name,
                    **arguments,
                },
            )
        ],
    )
