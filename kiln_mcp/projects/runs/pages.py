"""Runs as the doors show them: in short on a page, or one in full."""

from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.datasets.rating_criteria import overall_rating, ratings_by_name
from kiln_mcp.projects.history.entries import ChangeEntry
from kiln_mcp.projects.project_references import task_above
from kiln_mcp.projects.runs.conversation import conversation_lines
from kiln_mcp.workbench.capability import Result
from storage import ProjectStore, Task, TaskRun
from storage.index.queries import RunQuery
from storage.text.excerpts import counted_excerpt, excerpt_line

_SHOWN_CHARACTERS = 160

Filter = Annotated[
    str,
    Field(description="all, high_rating, tag::<tag>, or multi_filter::<a>&<b>."),
]
Source = Literal["human", "synthetic", "file_import", "tool_call"]
Order = Literal["newest", "oldest", "best", "worst"]


class RunSummary(Result):
    """The start of a run."""

    id: str
    input: str
    output: str
    tags: list[str]
    rating: float | str | None
    is_repaired: bool


class RunPage(Result):
    """Some of the runs that were asked for.

    Where several conditions must hold, only the first thousand are counted: total is then a
    lower bound.
    """

    total: int
    total_is_exact: bool
    runs: list[RunSummary]
    next_cursor: str | None


class RunDetails(Result):
    """A run; texts longer than asked for end in how much is left out."""

    id: str
    input: str
    output: str
    repaired_output: str | None
    repair_instructions: str | None
    reasoning: str | None
    tags: list[str]
    rating: float | str | None
    score_ratings: dict[str, float | str] = Field(
        description="By score or requirement: pass, fail or critical, or a number."
    )
    created_at: str
    created_by: str
    model: str | None
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    messages: list[str] = Field(
        description="The conversation with its calls of tools, if it is more than one question."
    )
    output_source: dict[str, str | float] = Field(
        description="Where the output came from: trace, session, state of the answer, feedback of "
        "users and more."
    )
    changes: list[ChangeEntry] = Field(default=[], description="Its history, if asked for.")


async def page_of_runs(
    store: ProjectStore,
    task: Task,
    query: RunQuery,
    *,
    order: Order,
    limit: int,
    cursor: str | None,
) -> RunPage:
    """Return a page of a task's runs: inputs and outputs in short, tags and ratings."""
    page = await store.page_of_runs(task, query, order=order, limit=limit, cursor=cursor)
    return RunPage(
        total=page.total,
        total_is_exact=page.total_is_exact,
        runs=[_summary(run) for run in page.records],
        next_cursor=page.next_cursor,
    )


async def run_details(store: ProjectStore, record: TaskRun, longest: int) -> RunDetails:
    """Return a run in full; texts longer than `longest` characters are shortened."""
    repair = record.repaired_output

    def short(text: str | None) -> str | None:
        return None if text is None else counted_excerpt(text, longest)

    source = record.output.source.properties if record.output.source else {}
    model = source.get("model_name")
    return RunDetails(
        id=record.id,
        input=counted_excerpt(record.input, longest),
        output=counted_excerpt(record.output.output, longest),
        repaired_output=short(repair.output if repair else None),
        repair_instructions=short(record.repair_instructions),
        reasoning=short(record.reasoning),
        tags=list(record.tags),
        rating=overall_rating(record),
        score_ratings=ratings_by_name(record, await task_above(store, record)),
        created_at=record.created_at.isoformat(),
        created_by=record.created_by,
        model=str(model) if model is not None else None,
        cost_usd=record.usage.cost if record.usage else None,
        input_tokens=record.usage.input_tokens if record.usage else None,
        output_tokens=record.usage.output_tokens if record.usage else None,
        messages=conversation_lines(record.trace, longest),
        output_source={key: _short_value(value, longest) for key, value in source.items()},
    )


def _short_value(value: str | float, longest: int) -> str | float:
    return counted_excerpt(value, longest) if isinstance(value, str) else value


def _summary(run: TaskRun) -> RunSummary:
    return RunSummary(
        id=run.id,
        input=excerpt_line(run.input, _SHOWN_CHARACTERS),
        output=excerpt_line(run.best_output, _SHOWN_CHARACTERS),
        tags=list(run.tags),
        rating=overall_rating(run),
        is_repaired=run.repaired_output is not None,
    )
