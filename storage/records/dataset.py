"""Frozen splits of a dataset, fine-tunes made of them, and guides to a task's data."""

from math import isclose
from typing import Literal

from pydantic import Field, model_validator

from storage.records.record import Name, Part, PartName, Record
from storage.records.run_config import KilnAgentProperties


class SplitDefinition(Part):
    """One part of a split and its share, 0 to 1."""

    name: PartName
    description: str | None = None
    percentage: float = Field(ge=0, le=1)


class DatasetSplit(Record):
    """Runs dealt into parts, once and for all.

    Attributes:
        split_contents: Ids of task runs by the part's name.
        filter: The dataset filter that chose the runs.
    """

    name: Name
    description: str | None = None
    splits: tuple[SplitDefinition, ...]
    split_contents: dict[str, tuple[str, ...]]
    filter: str | None = None
    model_type: Literal["dataset_split"] = "dataset_split"

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> "DatasetSplit":
        if not isclose(sum(part.percentage for part in self.splits), 1, abs_tol=1e-6):
            raise ValueError("the shares of a split must sum to 1")
        return self


class Finetune(Record):
    """A fine-tune: what it was trained on, where, and the model that came out."""

    name: Name
    description: str | None = None
    structured_output_mode: str | None = None
    provider: str
    base_model_id: str
    provider_id: str | None = None
    fine_tune_model_id: str | None = None
    dataset_split_id: str
    train_split_name: str = "train"
    validation_split_name: str | None = None
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    system_message: str
    thinking_instructions: str | None = None
    latest_status: Literal["unknown", "pending", "running", "completed", "failed"] = "unknown"
    properties: dict[str, str | int | float] = Field(default_factory=dict)
    data_strategy: str = "final_only"
    run_config: KilnAgentProperties | None = None
    model_type: Literal["finetune"] = "finetune"


class DataGuide(Record):
    """A description of a task's inputs, in Markdown; at most one for each task."""

    guide: str = ""
    source: Literal["manual", "kiln_pro"] = "manual"
    model_type: Literal["data_guide"] = "data_guide"


class PromptOptimizationJob(Record):
    """A prompt optimisation and what came out of it."""

    name: Name
    description: str | None = None
    job_id: str
    target_run_config_id: str
    latest_status: str = "pending"
    optimized_prompt: str | None = None
    created_prompt_id: str | None = None
    created_run_config_id: str | None = None
    eval_ids: tuple[str, ...] = ()
    model_type: Literal["prompt_optimization_job"] = "prompt_optimization_job"
