"""What a person and a model read of training data."""

from typing import Final, Self

from pydantic import Field

from kiln_mcp.tuning.data_check import DataFault, DataFaultKind
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep

MOST_FAULTS: Final = 20


class ExportedFile(Result):
    """One file of training examples."""

    part: str
    file: str
    examples: int
    held_out_items: int = Field(description="Items that an eval measures on, left out.")
    without_thinking: int = Field(description="Items without reasoning, left out.")
    unreviewed_examples: int = Field(
        description="Examples whose output a run config gave and nobody rated or repaired: what is "
        "learnt from them includes its mistakes."
    )
    unusable_items: int = Field(
        description="Items whose answer was truncated, refused or empty, left out."
    )
    shown_items: int = Field(
        description="Items that the system message shows with their answers, left out."
    )
    deleted_items: int = Field(description="Items of the frozen split that were deleted since.")


class TrainingFault(Result):
    """Something in training data that can spoil a model."""

    kind: DataFaultKind
    part: str
    line: int | None = Field(description="In the part's file, from 1; None: the whole part.")
    run: str = Field(description="The item's id; empty: the whole part.")
    reason: str

    @classmethod
    def of(cls, fault: DataFault) -> Self:
        """Return a fault as it is read."""
        return cls(
            kind=fault.kind, part=fault.part, line=fault.line, run=fault.run, reason=fault.reason
        )


class TrainingFiles(Result):
    """Training data on disk."""

    frozen_split: str
    files: list[ExportedFile]
    tokens: int = Field(description="About, of all examples; training reads them once an epoch.")
    faults: list[TrainingFault] = Field(
        description=f"The gravest first, {MOST_FAULTS} at most: look at them before you train."
    )
    fault_counts: dict[DataFaultKind, int] = Field(description="How many faults of each kind.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class TrainingCheck(Result):
    """What is known of a training before it starts; nothing was trained."""

    provider: str
    base_model: str
    examples: int
    validation_examples: int
    tokens: int = Field(description="Of what is learnt; each epoch reads them once.")
    is_exact: bool = Field(description="Whether the model's own tokenizer counted the tokens.")
    parameters: dict[str, str | int | float | bool]
    outlook: str = Field(description="Device, memory and time; empty: not known.")
    learnt: list[str] = Field(description="The first examples: what is learnt stands in ⟦ ⟧.")
    faults: list[TrainingFault] = Field(description="In the data, the gravest first.")
    fault_counts: dict[DataFaultKind, int]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class TrainedModel(Result):
    """A model that was trained, and how to run it."""

    finetune: str = Field(description="The record of the training.")
    provider: str
    base_model: str
    model: str = Field(description="The trained model's name in run configs.")
    run_config: str = Field(description="It runs the model with the prompt of its training.")
    examples: int
    validation_examples: int
    tokens: int = Field(description="About, of all examples; each epoch reads them once.")
    parameters: dict[str, str | int | float | bool]
    faults: list[TrainingFault] = Field(description="In the data, the gravest first.")
    fault_counts: dict[DataFaultKind, int]
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class DistilledPart(Result):
    """The outputs of a teacher for one part."""

    part: str
    items: int
    verified_outputs: int = Field(
        description="Outputs that every evaluator passes and no right answer contradicts; only "
        "these are learnt."
    )
    compared_outputs: int = Field(
        description="Passed outputs compared with the right answer of their item: none if an "
        "evaluator compares them, or where it is prose."
    )
    contradicted_outputs: int = Field(description="Passed outputs that contradict it: left out.")


class DistilledModel(Result):
    """A model that learnt from a stronger one's verified outputs."""

    teacher: str
    frozen_split: str = Field(description="The verified outputs, as items.")
    parts: list[DistilledPart]
    model: TrainedModel
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
