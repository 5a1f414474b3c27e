"""The capability that reports on a dataset."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import Field

from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.parts import part_tags, split_sizes
from kiln_mcp.datasets.summaries import ItemSummary
from kiln_mcp.home import write_private
from kiln_mcp.projects.project_references import ProjectReference, TaskReference, task_of
from kiln_mcp.statistics import TwoSampleTest
from kiln_mcp.synthesis.answers import DifficultyRow
from kiln_mcp.synthesis.leak_report import LeakReport, leak_report
from kiln_mcp.synthesis.plan_costs import with_plan_costs
from kiln_mcp.synthesis.plan_store import plans_of
from kiln_mcp.synthesis.quota_gaps import quota_gaps
from kiln_mcp.synthesis.realism import realism
from kiln_mcp.synthesis.report import (
    FILE,
    MADE,
    DataReport,
    RealismRecord,
    note_report,
    report_on,
    split_records,
)
from kiln_mcp.synthesis.report_page import report_page
from kiln_mcp.synthesis.report_sentences import Figure, figures, gaps, outcome_counts
from kiln_mcp.synthesis.split_assignment import Dataset, deal_step, open_dataset, part_of
from kiln_mcp.workbench.capability import Discovery, Effect, Heading, Result, Toolset, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep, Refusal

_FOLDER: Final = "data_reports"
_MOST_SPLITS: Final = 5
_MOST_PHRASES: Final = 5


class SplitLeaks(Result):
    """What the parts of a split share."""

    split: str
    parts: dict[str, int] = Field(description="Items of each part.")
    is_clean: bool = Field(description="Whether several parts share nothing.")
    leaks: list[str]
    classes: dict[str, dict[str, int]] = Field(description="Items of each class, by part.")


class DataReportAnswer(Result):
    """What a dataset is made of."""

    task: str
    gaps: list[str] = Field(description="What is missing, the worst first.")
    splits: list[SplitLeaks]
    figures: list[Figure]
    stock_phrases: list[str] = Field(description="What made inputs say more often than real ones.")
    clauses: dict[str, dict[str, int]] = Field(description="Items by clause and outcome.")
    difficulties: list[DifficultyRow] = Field(description="Of edited outputs.")
    classes: dict[str, int]
    topics: dict[str, int]
    sources: dict[str, int]
    page: str = Field(description="The file with the plots, for a browser.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


@dataclass(frozen=True, slots=True)
class _Measurement:
    report: DataReport
    splits: tuple[SplitLeaks, ...]


@capability(
    effect=Effect.WRITES,
    title="Report on the data",
    discovery=Discovery(
        Heading.DATA,
        "data report, data quality, quality of the dataset, coverage, balance, balanced, class "
        "balance, diversity, varied, realistic, realism, like real users, gaps, missing topics, "
        "leaks, leakage, clean split, duplicates, statistics of the data, overview of the items, "
        "plots, charts, cost per item",
        toolset=Toolset.TEAM,
    ),
)
async def report_data(
    workspace: Workspace, project: ProjectReference, task: TaskReference = None
) -> DataReportAnswer:
    """Report on a dataset: coverage, balance, variety, realism, leaks of its splits, and cost.

    It writes a page with plots. Each number is explained.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    dataset = await open_dataset(store, owner, "all")
    if not dataset.items:
        raise Refusal(
            "There is nothing to report on: the task '{task}' has no items.",
            task=owner.name,
            next=[NextStep(tool="add_data", reason="add your own items")],
        )
    dealt_names = {record.name for record in split_records(await store.side_file(owner, FILE))}
    measurement = await anyio.to_thread.run_sync(
        _measure, dataset, dealt_names, workspace.settings.embeddings
    )
    every_plan = await plans_of(store, owner)
    report = with_plan_costs(measurement.report, dataset.items, every_plan.values())
    plans = [plan for plan in every_plan.values() if plan.stage == "done"]
    missing = [
        *_split_gaps(measurement.splits),
        *quota_gaps(plans, dataset.runs),
        *gaps(report),
    ]
    async with store.transaction() as change:
        note_report(change, owner, report)
    page = workspace.settings.home / _FOLDER / f"{store.project.id} {owner.id}.html"
    clause_texts = {
        name: text for plan in every_plan.values() for name, text in plan.clause_texts.items()
    }
    title = f"{store.project.name}: {owner.name}"
    content = report_page(title, report, missing, clause_texts)
    await anyio.to_thread.run_sync(_write_page, page, content)
    return DataReportAnswer(
        task=owner.name,
        gaps=missing,
        splits=list(measurement.splits),
        figures=figures(report),
        stock_phrases=report.realism.phrases if report.realism else [],
        clauses={clause or "none": own for clause, own in outcome_counts(report.coverage).items()},
        difficulties=report.difficulties,
        classes=report.classes,
        topics={topic or "none": count for topic, count in report.topics.items()},
        sources=report.sources,
        page=str(page),
        next=_next_steps(str(store.folder), measurement),
    )


def _next_steps(project: str, measurement: _Measurement) -> list[NextStep]:
    if not measurement.splits:
        return [deal_step(project)]
    return [_redeal_step(project, own) for own in measurement.splits if not own.is_clean]


def _redeal_step(project: str, own: SplitLeaks) -> NextStep:
    """Return how to deal a split again that is not clean: it leaks, or has one part alone."""
    is_apart = len(own.parts) > 1
    return NextStep(
        tool="split_data",
        reason=f"deal the split {own.split} again "
        + ("without leaks" if is_apart else "to several parts"),
        arguments={
            "project": project,
            "name": own.split,
            "redeal": True,
            "keep_together": "forms" if is_apart else "near_duplicates",
        },
    )


def _split_gaps(splits: Sequence[SplitLeaks]) -> Iterator[str]:
    for own in splits:
        if len(own.parts) > 1 and "test" not in own.parts:
            yield (
                f"The split {own.split} has no test item: it cannot tell how well anything works "
                "on items that it was neither made with nor chosen by."
            )


def _measure(
    dataset: Dataset, dealt_names: Collection[str], embeddings: Path | None
) -> _Measurement:
    texts = [item.text for item in dataset.items]
    near_duplicates = NearDuplicates(texts, embeddings=embeddings)
    report = report_on(dataset.runs, near_duplicates)
    splits = _splits(dataset.items, dealt_names, near_duplicates)
    leaks = {name: own for name, (own, _) in splits.items()}
    return _Measurement(
        report.model_copy(update={"leaks": leaks, "realism": _realism(dataset.items)}),
        tuple(
            SplitLeaks(
                split=name,
                parts=dict(sizes),
                is_clean=own.is_clean,
                leaks=own.sentences,
                classes=own.classes,
            )
            for name, (own, sizes) in splits.items()
        ),
    )


def _splits(
    items: Sequence[ItemSummary], dealt_names: Collection[str], near_duplicates: NearDuplicates
) -> dict[str, tuple[LeakReport, Mapping[str, int]]]:
    """Return the leaks and the sizes of the splits, of few ones.

    Args:
        items: The dataset.
        dealt_names: The splits that were dealt here: these are splits even with one part alone.
        near_duplicates: How their texts are compared.
    """
    counts = Counter(tag for item in items for tag in item.tags)
    own_sizes = [
        (name, sizes)
        for name, sizes in split_sizes(counts).items()
        if len(sizes) > 1 or name in dealt_names
    ]
    reports: dict[str, tuple[LeakReport, Mapping[str, int]]] = {}
    for name, sizes in own_sizes[:_MOST_SPLITS]:
        tags = part_tags(name)
        parts = [part_of(item, tags) for item in items]
        own_items = [item for item, part in zip(items, parts, strict=True) if part]
        reports[name] = (
            leak_report(own_items, [part for part in parts if part], near_duplicates),
            sizes,
        )
    return reports


def _realism(items: Sequence[ItemSummary]) -> RealismRecord | None:
    """Compare made inputs with real ones; None if there are no made ones."""
    made_inputs = [item.text for item in items if item.source == MADE]
    if not made_inputs:
        return None
    result = realism([item.text for item in items if item.source != MADE], made_inputs)
    test = result.test
    record = RealismRecord(
        real_items=result.real_items,
        made_items=result.made_items,
        phrases=[phrase.text for phrase in result.phrases[:_MOST_PHRASES]],
        real_words=result.real_words,
        made_words=result.made_words,
    )
    if not isinstance(test, TwoSampleTest):
        return record.model_copy(update={"reason": test.reason})
    return record.model_copy(
        update={
            "accuracy": test.accuracy,
            "low": test.interval.low,
            "high": test.interval.high,
            "p_value": test.p_value,
        }
    )


def _write_page(page: Path, content: str) -> None:
    try:
        page.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(page, content.encode())
    except OSError as error:
        raise Refusal(
            "The page of the report was not written, because {folder} cannot be: {reason}. Free "
            "space or give yourself the right to write there, then call this again.",
            folder=str(page.parent),
            reason=error.strerror or str(error),
        ) from error
