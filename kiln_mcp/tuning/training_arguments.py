"""Arguments that the capabilities of trainings share."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.tuning.formats import Thinking
from kiln_mcp.tuning.providers.registry import ProviderName

LearntSplit = Annotated[str, Field(description="The frozen split to learn from.")]
TrainingProvider = Annotated[ProviderName, Field(description="Who trains.")]
LearntPrompt = Annotated[
    str | None, Field(description="Whose prompt it learns and runs with; left out: the task's.")
]
LearntReasoning = Annotated[Thinking, Field(description="The reasoning.")]
DespiteFaults = Annotated[
    bool, Field(description="Train though items leak, contradict each other, or are empty.")
]
