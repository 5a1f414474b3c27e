"""Capability: mark runs as a person judges them: rate, tag, repair."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated

from pydantic import Field

from kiln_mcp.datasets.rating_criteria import (
    STARS,
    RatingCriterion,
    criteria,
    value_of,
    with_rating,
)
from kiln_mcp.projects.project_references import ProjectReference, task_above
from kiln_mcp.projects.runs.pages import RunDetails, run_details
from kiln_mcp.workbench.capability import Discovery, Effect, Heading, Result, capability
from kiln_mcp.workbench.excerpt_texts import LONGEST_TEXT
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Eval, ProjectStore, TaskOutput, TaskRun
from storage.bulk_changes import BATCH, amend_all, paths_of, retag_all
from storage.errors import InvalidValue, NextStep, Refusal
from storage.format.layout import folder_of
from storage.format.tag_text import TagsChange
from storage.records.names import folded_name

_LONGEST_TAG = 120

Edit = Callable[[TaskRun], TaskRun]
Ratings = Mapping[str, bool | float | str | None]


class RunsMarked(Result):
    """How many runs were changed."""

    changed: int


@capability(
    effect=Effect.WRITES,
    title="Rate, tag or repair runs",
    discovery=Discovery(
        Heading.DATA,
        "rating, score by hand, four stars, like, dislike, thumbs up, thumbs down, mark, good, "
        "bad, right, feedback, label, categorise, group, fix, correction, edit, repair, rewrite "
        "the answer, response, reply, should have been, should say, gold answer, golden, "
        "reference, production, great, nice, terrible, awful, perfect, useless, actually, would "
        "be, instead, the right answer, was wrong, incorrect, mistake, better answer, rate it, "
        "five stars, one star, bug, flag, favourite, favorite, remember, note, improve this "
        "output, replace the output, output with what I typed, too verbose, disliked, stars for "
        "an output",
        alternatives=("stars", "scores", "add_tags", "remove_tags", "output"),
    ),
)
async def mark_runs(
    workspace: Workspace,
    project: ProjectReference,
    runs: Annotated[
        list[str],
        Field(min_length=1, max_length=100_000, description="Their ids, from find."),
    ],
    stars: Annotated[
        int | None,
        Field(ge=0, le=5, description="1 to 5 overall; 0 takes it away."),
    ] = None,
    scores: Annotated[
        dict[str, bool | float | str | None] | None,
        Field(
            description="By the name of an eval's score: pass, fail, critical, or 1 to 5; null "
            "takes it away."
        ),
    ] = None,
    add_tags: Annotated[list[str] | None, Field(description="Without spaces.")] = None,
    remove_tags: list[str] | None = None,
    output: Annotated[
        str | None,
        Field(min_length=1, description="Of one run: what it should have been."),
    ] = None,
    reason: Annotated[
        str | None, Field(min_length=1, description="With `output`: what was wrong.")
    ] = None,
) -> RunDetails | RunsMarked:
    """Rate outputs with stars or thumbs, tag them, or correct a wrong answer, as the person says.

    Never rate in a person's name. A correction keeps the first output beside it.
    """
    edits: list[Edit] = []
    change_tags = _retag(add_tags or (), remove_tags or ()) if add_tags or remove_tags else None
    if output is not None or reason is not None:
        edits.append(_repair(workspace, runs, output, reason))
    if stars is None and not scores and not edits and change_tags is None:
        raise InvalidValue(
            "Nothing was marked. Give `stars`, `scores`, `add_tags`, `remove_tags`, or `output` "
            "with its `reason`."
        )
    store = await workspace.open_project(project)
    paths = await paths_of(store, TaskRun, runs)
    if stars is not None or scores:
        edits.append(await _rate(store, runs[0], paths, stars, scores or {}))

    def edit(run: TaskRun) -> TaskRun:
        if change_tags is not None:
            run = run.replace(tags=change_tags(run.tags))
        for change in edits:
            run = change(run)
        return run

    changed = done = 0
    changes = (
        amend_all(store, TaskRun, paths, edit)
        if edits or change_tags is None
        else retag_all(store, TaskRun, paths, change_tags)
    )
    async with aclosing(changes) as batches:
        async for count in batches:
            changed, done = changed + count, min(done + BATCH, len(paths))
            await workspace.report(done, len(paths), f"Marked {done} of {len(paths)} runs.")
    if len(set(runs)) > 1:
        return RunsMarked(changed=changed)
    run = await store.find(TaskRun, runs[0])
    return await run_details(store, run, LONGEST_TEXT)


def _retag(added_tags: Sequence[str], removed_tags: Sequence[str]) -> TagsChange:
    """Return the change of tags.

    Raises:
        InvalidValue: A tag cannot be used.
    """
    if contradictions := sorted(set(added_tags) & set(removed_tags)):
        raise InvalidValue(
            "No run was tagged: {tags} cannot be added and removed at once. Name a tag in "
            "`add_tags` or in `remove_tags`.",
            tags=contradictions,
        )
    for tag in added_tags:
        if not 0 < len(tag) <= _LONGEST_TAG or " " in tag or not tag.isprintable():
            raise InvalidValue(
                "The tag '{tag}' cannot be used. A tag has 1 to {longest} visible characters and "
                "no spaces. Nothing was tagged.",
                tag=tag,
                longest=_LONGEST_TAG,
            )

    def change_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
        remaining_tags = [tag for tag in tags if tag not in removed_tags]
        return tuple(dict.fromkeys([*remaining_tags, *added_tags]))

    return change_tags


def _repair(
    workspace: Workspace, runs: Sequence[str], output: str | None, reason: str | None
) -> Edit:
    """Return the change that gives a run the output that it should have had.

    Raises:
        InvalidValue: One of both is missing, or there are several runs.
    """
    if output is None or reason is None or len(set(runs)) > 1:
        raise InvalidValue(
            "Nothing was marked: a correction needs one run, its `output` and the `reason`."
        )
    source = DataSource(type="human", properties={"created_by": workspace.author})
    repair = TaskOutput(output=output, source=source)
    return lambda run: run.replace(repair_instructions=reason, repaired_output=repair)


async def _rate(
    store: ProjectStore, run: str, paths: Sequence[str], stars: int | None, scores: Ratings
) -> Edit:
    """Return the change of ratings.

    Args:
        store: The project.
        run: The id of the first run, whose task has the scores.
        paths: The files of all runs.
        stars: The overall rating; 0 takes it away.
        scores: Ratings by the names of scores.

    Raises:
        Refusal: A score does not exist, or the runs are of several tasks.
    """
    ratings: list[tuple[RatingCriterion, float | None]] = []
    if stars is not None:
        ratings.append((STARS, float(stars) or None))
    if scores:
        task = await task_above(store, await store.find(TaskRun, run))
        if not all(path.startswith(f"{folder_of(task.saved.path)}/") for path in paths):
            raise InvalidValue("Nothing was marked: `scores` need runs of one task.")
        criteria_by_name = criteria(task, await store.children(task, Eval))
        for name, answer in scores.items():
            criterion = _criterion_named(name, criteria_by_name)
            ratings.append((criterion, None if answer is None else value_of(criterion, answer)))
    return partial(_with_ratings, ratings=ratings)


def _with_ratings(run: TaskRun, ratings: Iterable[tuple[RatingCriterion, float | None]]) -> TaskRun:
    for criterion, value in ratings:
        run = with_rating(run, criterion=criterion, value=value)
    return run


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
