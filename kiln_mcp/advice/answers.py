"""What a description of a project holds."""

from pydantic import Field

from kiln_mcp.projects.collaboration.service import OpenConflict
from kiln_mcp.projects.project_references import NameProblem
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class EvalDescription(Result):
    """The counts of one eval."""

    name: str
    evaluators: int
    test_items: int
    golden_items: int
    rated_items: int = Field(description="Golden items with a rating for every score.")
    results: int


class TaskDescription(Result):
    """The counts of one task, its weaknesses and the next steps."""

    name: str
    id: str
    handle: str = Field(description="What names it in calls, such as `task/answer`.")
    runs: int = Field(description="Without the outputs that evals made.")
    inputs: int = Field(description="Inputs alone, without an output.")
    specs: int
    run_configs: int
    prompts: int
    spec_names: list[str] = Field(description="The first ten, as in the next two lists.")
    run_config_names: list[str]
    prompt_names: list[str]
    evals: list[EvalDescription]
    further_evals: int | None = Field(
        default=None, description="Evals beside those, which have the most results."
    )
    weaknesses: list[str] = Field(description="What is weak about its measurements.")
    next: list[NextStep] = Field(default=[], description="Calls that help most now.")


class ProjectDescription(Result):
    """A project's tasks, their weaknesses, its faults, and the next steps."""

    project: str
    folder: str
    name_problem: NameProblem
    description: str | None
    tasks: list[TaskDescription]
    further_tasks: list[str] = Field(default=[], description="The names of the other tasks.")
    unreadable: list[str] = Field(
        description="Files that cannot be used, with the reason. All else works without them."
    )
    duplicate_ids: list[str] = Field(
        description="Records whose id another one elsewhere has; both are counted."
    )
    copies: list[str] = Field(
        description="Conflict copies of cloud drives. They are neither read nor counted."
    )
    conflicts: list[OpenConflict] = Field(
        description="Two people's values of one key, which wait for the person's decision."
    )
    jobs_set_aside: list[str] = Field(
        description="Jobs whose process was killed several times. They wait for the person."
    )
    message: str | None = Field(default=None, description="Why no task can be read.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")
