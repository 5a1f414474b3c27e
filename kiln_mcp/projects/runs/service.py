"""Capabilities: find and read runs, rate, tag and repair them."""

from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from kiln_mcp.datasets.rating_criteria import (
    STARS,
    RatingCriterion,
    criteria,
    overall_rating,
    ratings_by_name,
    value_of,
    with_rating,
)
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    task_above,
    task_of,
)
from kiln_mcp.projects.runs.conversation import conversation_lines
from kiln_mcp.workbench.answer_size import fitting_page
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.excerpt_texts import Longest, text_limit
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    DataSource,
    Eval,
    TaskOutput,
    TaskRun,
)
from storage.bulk_changes import BATCH, amend_all, paths_of
from storage.errors import InvalidValue, NextStep, Refusal
from storage.index.queries import RunQuery
from storage.records.names import folded_name
from storage.text.excerpts import counted_excerpt, excerpt_line

_SHOWN_CHARACTERS = 160
_LONGEST_TAG = 120

RunId = Annotated[str, Field(description="The run's id, from find_runs.")]
RunIds = Annotated[
    list[str],
    Field(min_length=1, max_length=100_000, description="The runs' ids, from find_runs."),
]
Filter = Annotated[
    str,
    Field(description="all, high_rating, thinking_model, tag::<tag>, or multi_filter::<a>&<b>."),
]


Source = Literal["human", "synthetic", "file_import", "tool_call"]


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


class RunsChanged(Result):
    """How many runs were changed."""

    changed: int


@capability(
    effect=Effect.READS,
    title="Find runs",
    search_hint="search outputs, logs, examples, traces, answers; bad ratings, tagged, recent",
)
async def find_runs(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    filter: Filter = "all",
    text: Annotated[
        str | None,
        Field(
            description="Words in the input or output, all of them, in any case; of three letters "
            "or more also how words begin."
        ),
    ] = None,
    is_rated: Annotated[
        bool | None, Field(description="With or without an overall rating.")
    ] = None,
    least_stars: Annotated[float | None, Field(description="Rated so high or higher.")] = None,
    most_stars: Annotated[float | None, Field(description="Rated so low or lower.")] = None,
    source: Annotated[Source | None, Field(description="Where its output came from.")] = None,
    order: Annotated[
        Literal["newest", "oldest", "best", "worst"], Field(description="Which come first.")
    ] = "newest",
    limit: Annotated[int, Field(ge=1, le=100, description="How many on a page.")] = 20,
    cursor: Annotated[str | None, Field(description="next_cursor of the page before.")] = None,
) -> RunPage:
    """Find a task's runs, page by page: inputs and outputs in short, tags and ratings.

    Read more of one with read_run.
    """
    store = await workspace.open_project(project)
    task_record = await task_of(store, task)
    query = RunQuery(
        filter_id=filter,
        text=text,
        is_rated=is_rated,
        least_rating=least_stars,
        most_rating=most_stars,
        source=source,
    )

    async def find_page(size: int) -> RunPage:
        page = await store.page_of_runs(task_record, query, order=order, limit=size, cursor=cursor)
        return RunPage(
            total=page.total,
            total_is_exact=page.total_is_exact,
            runs=[_summary(run) for run in page.records],
            next_cursor=page.next_cursor,
        )

    return await fitting_page(workspace.answer_tokens, limit, "runs", find_page)


@capability(
    effect=Effect.READS,
    title="Read a run",
    search_hint="open one output in full, show the whole answer or trace",
)
async def read_run(
    workspace: Workspace,
    project: ProjectReference,
    run: RunId,
    longest: Longest = None,
) -> RunDetails:
    """Read one run: input, output, repair, reasoning, ratings and where it came from."""
    store = await workspace.open_project(project)
    record = await store.find(TaskRun, run)
    repair = record.repaired_output
    text_size = text_limit(longest, is_detailed=workspace.is_detailed)

    def short(text: str | None) -> str | None:
        return None if text is None else counted_excerpt(text, text_size)

    source = record.output.source.properties if record.output.source else {}
    model = source.get("model_name")
    return RunDetails(
        id=record.id,
        input=counted_excerpt(record.input, text_size),
        output=counted_excerpt(record.output.output, text_size),
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
        messages=conversation_lines(record.trace, text_size),
        output_source={key: _short_value(value, text_size) for key, value in source.items()},
    )


def _short_value(value: str | float, longest: int) -> str | float:
    return counted_excerpt(value, longest) if isinstance(value, str) else value


@capability(
    effect=Effect.WRITES,
    title="Rate a run",
    search_hint="give stars, thumbs up or down, grade or score one answer, feedback",
)
async def rate_run(
    workspace: Workspace,
    project: ProjectReference,
    run: RunId,
    stars: Annotated[
        int | None,
        Field(ge=0, le=5, description="Overall, 1 to 5 stars; 0 takes the rating away."),
    ] = None,
    scores: Annotated[
        dict[str, bool | float | str | None] | None,
        Field(
            description="By the name of an eval's score or a requirement: pass (or true, 1), fail "
            "(or false, 0) or critical (or -1), 1 to 5 for stars; null takes the rating away."
        ),
    ] = None,
) -> RunDetails:
    """Write down what a person thinks of a run's output. Never rate in a person's name."""
    if stars is None and not scores:
        raise InvalidValue("Nothing was rated. Give `stars`, `scores` or both.")
    store = await workspace.open_project(project)
    record = await store.find(TaskRun, run)
    task = await task_above(store, record)
    criteria_by_name = criteria(task, await store.children(task, Eval))
    ratings = [] if stars is None else [(STARS, float(stars) or None)]
    for name, answer in (scores or {}).items():
        criterion = _criterion_named(name, criteria_by_name)
        ratings.append((criterion, None if answer is None else value_of(criterion, answer)))
    async with store.transaction() as change:
        for criterion, value in ratings:
            change.amend(record, partial(with_rating, criterion=criterion, value=value))
    return await read_run(workspace, project, run)


@capability(
    effect=Effect.WRITES,
    title="Tag runs",
    search_hint="label, mark, group or categorise examples",
)
async def tag_runs(
    workspace: Workspace,
    project: ProjectReference,
    runs: RunIds,
    add: Annotated[list[str] | None, Field(description="Tags to add; no spaces in them.")] = None,
    remove: Annotated[list[str] | None, Field(description="Tags to take away.")] = None,
) -> RunsChanged:
    """Add tags to runs or take some away, for all of them or for none.

    Above a thousand runs, this holds for each thousand in the order given.
    """
    if not add and not remove:
        raise InvalidValue("No run was tagged. Give tags to `add`, to `remove`, or both.")
    if contradictions := sorted(set(add or []) & set(remove or [])):
        raise InvalidValue(
            "No run was tagged: {tags} cannot be added and removed at once. Name a tag in `add` "
            "or in `remove`.",
            tags=contradictions,
        )
    for tag in add or []:
        if not 0 < len(tag) <= _LONGEST_TAG or " " in tag or not tag.isprintable():
            raise InvalidValue(
                "The tag '{tag}' cannot be used. A tag has 1 to {longest} visible characters and "
                "no spaces. Nothing was tagged.",
                tag=tag,
                longest=_LONGEST_TAG,
            )

    def retag(run: TaskRun) -> TaskRun:
        remaining_tags = [tag for tag in run.tags if tag not in (remove or [])]
        return run.replace(tags=tuple(dict.fromkeys([*remaining_tags, *(add or [])])))

    store = await workspace.open_project(project)
    paths = await paths_of(store, TaskRun, runs)
    changed = done = 0
    async with aclosing(amend_all(store, TaskRun, paths, retag)) as batches:
        async for count in batches:
            changed, done = changed + count, min(done + BATCH, len(paths))
            await workspace.report(done, len(paths), f"Tagged {done} of {len(paths)} runs.")
    return RunsChanged(changed=changed)


@capability(
    effect=Effect.WRITES,
    title="Repair a run",
    search_hint="fix, correct or rewrite a wrong answer, say what it should have been",
)
async def repair_run(
    workspace: Workspace,
    project: ProjectReference,
    run: RunId,
    output: Annotated[str, Field(min_length=1, description="What the output should have been.")],
    instructions: Annotated[str, Field(min_length=1, description="What was wrong with it.")],
) -> RunDetails:
    """Give a run the output that it should have had; the first output stays beside it."""
    store = await workspace.open_project(project)
    record = await store.find(TaskRun, run)
    source = DataSource(type="human", properties={"created_by": workspace.author})
    repair = TaskOutput(output=output, source=source)
    await store.save(record.replace(repair_instructions=instructions, repaired_output=repair))
    return await read_run(workspace, project, run)


def _summary(run: TaskRun) -> RunSummary:
    return RunSummary(
        id=run.id,
        input=excerpt_line(run.input, _SHOWN_CHARACTERS),
        output=excerpt_line(run.best_output, _SHOWN_CHARACTERS),
        tags=list(run.tags),
        rating=overall_rating(run),
        is_repaired=run.repaired_output is not None,
    )


def _criterion_named(name: str, candidates: Mapping[str, RatingCriterion]) -> RatingCriterion:
    """Return what is rated under a name, whatever the case of its letters.

    Raises:
        Refusal: Nothing is.
    """
    if name in candidates:
        return candidates[name]
    lookup_name = folded_name(name)
    for candidate in candidates:
        if folded_name(candidate) == lookup_name:
            return candidates[candidate]
    if not candidates:
        raise Refusal(
            "The task has no eval yet, so nothing is rated as '{name}'. Give `stars` for an "
            "overall rating, or create an eval with that score.",
            name=name,
            next=[NextStep(tool="create_evaluator", reason="create the eval and its scores")],
        )
    raise Refusal(
        "No eval or requirement of the task has a score '{name}'. Nothing was rated. Choose "
        "one of: {names}.",
        name=name,
        names=list(candidates),
    )
