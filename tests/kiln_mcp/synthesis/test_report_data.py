"""The data report: its numbers, its sentences and its page."""

import random
import re
from html.parser import HTMLParser
from pathlib import Path

import anyio
import pytest

from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.summaries import summary_of
from kiln_mcp.synthesis.coverage_plan import Aim, Quota
from kiln_mcp.synthesis.data_plan import DataPlan, PlanClause
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.quota_gaps import quota_gaps
from kiln_mcp.synthesis.realism import realism
from kiln_mcp.synthesis.report import CostRecord, DataReport, RealismRecord, report_on
from kiln_mcp.synthesis.report_page import report_page
from kiln_mcp.synthesis.report_sentences import figures, gaps
from kiln_mcp.synthesis.report_service import DataReportAnswer, report_data
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Task, TaskOutput, TaskRun, Usage
from storage.errors import Refusal

SYLLABLES = ("ba", "de", "ki", "lo", "mu", "ra", "ne", "po", "su", "ti", "vo", "wa", "zi", "ge")
WRITER: dict[str, str | int | float] = {
    "model_name": "m",
    "model_provider": "p",
    "adapter_name": "kiln_data_gen",
}
HOSTILE = "<script>alert(1)</script> & co"


def lines(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join("".join(draw.choices(SYLLABLES, k=3)) for _ in range(8)) for _ in range(count)]


def made_run(text: str, cost: float | None = None, **properties: str) -> TaskRun:
    return TaskRun(
        input=text,
        input_source=DataSource(type="synthetic", properties={**WRITER, **properties}),
        output=TaskOutput(output="billing" if len(text) % 2 else "travel"),
        usage=None if cost is None else Usage(cost=cost),
    )


async def save(workspace: Workspace, *runs: TaskRun) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    async with store.transaction() as change:
        for run in runs:
            change.save(run, parent=task)


def figure(answer: DataReportAnswer, name: str) -> tuple[str, str]:
    (own,) = [own for own in answer.figures if own.name == name]
    return own.value, own.meaning


async def test_what_is_missing_comes_first_and_every_number_is_explained(
    workspace: Workspace,
) -> None:
    outcomes = ["pass", "fail", "pass", "fail", "borderline"]
    texts = lines(50, 1)
    await save(
        workspace,
        *(
            made_run(
                text,
                0.002,
                clause=f"c{place % 2}",
                aim=outcomes[place % 5] if place % 2 else "pass",
                topic_path="returns" if place > 1 else HOSTILE,
            )
            for place, text in enumerate(texts)
        ),
    )
    answer = await report_data(workspace, "P")
    assert answer.gaps == [
        "The clause c0 has no fail or borderline item.",
        f"The topic {HOSTILE} has 2 items, and the mean is 25.0.",
    ]
    assert answer.clauses == {"c0": {"pass": 25}, "c1": {"pass": 10, "fail": 10, "borderline": 5}}
    assert answer.topics == {HOSTILE: 2, "returns": 48}
    assert all(own.meaning.endswith(".") for own in answer.figures)
    assert figure(answer, "Cost a made item")[0] == "$0.0020"
    assert figure(answer, "Told from real inputs")[0] == "cannot tell"
    assert figure(answer, "Vendi score")[0].endswith("of 50")
    assert [step.tool for step in answer.next] == ["split_data"]


def planned_run(text: str, outcome: str = "", **properties: str) -> TaskRun:
    run = made_run(text, None, clause="c1", plan="p", **properties)
    source = DataSource(type="synthetic", properties={**WRITER, "outcome": outcome or "pass"})
    return run.replace(output=TaskOutput(output="o", source=source)) if outcome else run


def test_a_quota_that_is_short_is_named_with_the_reason() -> None:
    plan = DataPlan(
        id="p",
        writer="m",
        clauses=[PlanClause(id="c1", text="It names the fee.")],
        quotas=[
            Quota(clause="c1", aim=Aim.PASS, count=1),
            Quota(clause="c1", aim=Aim.FAIL, count=4),
            Quota(aim=Aim.BORDERLINE, count=1),
        ],
        pairs=True,
    )
    runs = [
        planned_run("a", "pass", aim="pass"),
        planned_run("b", "fail", aim="fail"),
        planned_run("c", "pass", aim="fail"),
        planned_run("d", "pass", aim="fail"),
        planned_run("e", "fail", aim="fail").replace(tags=("other",)),
    ]
    items = [summary_of(run) for run in runs]
    assert quota_gaps([plan], items) == [
        "The plan p has 2 of 4 fail items for the clause 'It names the fee.': 2 came out as pass.",
        "The plan p has 0 of 1 borderline items for the whole spec: 1 was dropped, failed or was "
        "deleted since.",
    ]
    as_aimed = plan.with_changes({"pairs": False, "quotas": plan.quotas[:2]})
    assert quota_gaps([as_aimed], items) == []


async def test_made_inputs_that_differ_from_real_ones_are_told_apart(workspace: Workspace) -> None:
    real = [f"{text.capitalize()}?" for text in lines(40, 2)]
    await add_data(workspace, "P", items=[DataItem(input=text) for text in real], author="person")
    items = [DataItem(input=text, output="o") for text in real]
    await add_data(workspace, "P", items=items, author="person")
    await save(workspace, *(made_run(f"dear team kindly {text}") for text in lines(30, 3)))
    answer = await report_data(workspace, "P")
    value, meaning = figure(answer, "Told from real inputs")
    assert value.startswith("100 % (")
    assert "p = 0.005: made inputs differ from real ones" in meaning
    assert answer.stock_phrases == ["dear team kindly"]
    assert figure(answer, "Cost a made item")[0] == "not known"


def test_inputs_of_one_kind_are_not_told_apart_by_their_copies() -> None:
    texts = lines(60, 4)
    result = realism([*texts[:30], *texts[:30]], texts[30:])
    assert (result.real_items, result.made_items) == (30, 30)
    report = RealismRecord(real_items=30, made_items=30, accuracy=0.5, low=0.4, high=0.6, p_value=1)
    own = [own for own in figures(_report(realism=report)) if own.name == "Told from real inputs"]
    assert "no difference from real inputs was found, which is no proof" in own[0].meaning
    assert realism([], texts).real_words == 0


def _report(**values: object) -> DataReport:
    return report_on([], NearDuplicates([])).model_copy(update=values)


def test_a_report_of_nothing_has_no_gaps_and_a_page() -> None:
    assert gaps(report_on([], NearDuplicates([]))) == []
    assert "<h1>Data report: P</h1>" in report_page("P", report_on([], NearDuplicates([])), [], {})
    costs = CostRecord(items=4, priced_items=2, usd=1.0)
    assert figures(_report(costs=costs))[-1].value == "$0.5000"


async def test_a_leaking_split_is_named_with_what_mends_it(workspace: Workspace) -> None:
    texts = lines(10, 5)
    parts = ["train_s", "test_s"] * 10
    items = [
        DataItem(input=text, output=str(place % 3), tags=[parts[place // 2 + place % 2]])
        for place, text in enumerate(copy for text in texts for copy in (f"{text} 1", f"{text} 2"))
    ]
    await add_data(workspace, "P", items=items)
    answer = await report_data(workspace, "P")
    (split,) = answer.splits
    assert (split.split, split.parts, split.is_clean) == ("s", {"train": 10, "test": 10}, False)
    assert "10 of 10 pairs of alike texts are in different parts" in split.leaks[0]
    assert answer.next[0].arguments is not None
    assert answer.next[0].arguments["redeal"] is True
    page = await anyio.Path(answer.page).read_text(encoding="utf-8")
    assert "It leaks" in page
    await split_data(workspace, "P", "s", train=50, test=50, redeal=True)
    clean = await report_data(workspace, "P")
    assert clean.splits[0].is_clean
    assert clean.next == []
    assert "Clean" in await anyio.Path(clean.page).read_text(encoding="utf-8")


async def test_a_split_without_test_items_is_listed_with_what_it_cannot_tell(
    workspace: Workspace,
) -> None:
    items = [DataItem(input=text, output=text[:3]) for text in lines(20, 8)]
    await add_data(workspace, "P", items=items)
    await split_data(workspace, "P", "s", train=50, val=50)
    answer = await report_data(workspace, "P")
    (split,) = answer.splits
    assert (split.split, split.parts, split.is_clean) == ("s", {"train": 10, "val": 10}, True)
    assert answer.gaps[0].startswith("The split s has no test item: it cannot tell how well")
    assert answer.next == []


async def test_a_split_with_one_filled_part_is_listed_and_a_tag_like_it_is_not(
    workspace: Workspace,
) -> None:
    items = [DataItem(input=text, output=text[:3], tags=["train_station"]) for text in lines(20, 9)]
    await add_data(workspace, "P", items=items)
    assert (await report_data(workspace, "P")).splits == []
    await split_data(workspace, "P", "s", train=100)
    answer = await report_data(workspace, "P")
    (split,) = answer.splits
    assert (split.split, split.parts, split.is_clean) == ("s", {"train": 20}, False)
    assert "nothing can be measured on other items" in split.leaks[0]
    assert "It leaks" not in await anyio.Path(answer.page).read_text(encoding="utf-8")
    (step,) = answer.next
    assert "to several parts" in step.reason
    assert step.arguments is not None
    await split_data(workspace, "P", "s", redeal=True, keep_together="near_duplicates")
    (split,) = (await report_data(workspace, "P")).splits
    assert split.parts.keys() == {"train", "val", "test", "golden"}


async def test_nothing_can_be_reported_of_a_task_without_items(workspace: Workspace) -> None:
    with pytest.raises(Refusal, match="has no items"):
        await report_data(workspace, "P")


async def test_a_home_that_cannot_be_written_is_named(workspace: Workspace) -> None:
    await save(workspace, made_run("one two three"))
    folder = anyio.Path(workspace.settings.home / "data_reports")
    await folder.parent.mkdir(parents=True, exist_ok=True)
    await folder.write_text("a file in its place")
    with pytest.raises(Refusal, match="The page of the report was not written"):
        await report_data(workspace, "P")


class Outline(HTMLParser):
    """Reads what a screen reader needs: captions, scopes, labels; and what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = self.captions = self.unscoped = 0
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.unscoped += tag == "th" and "scope" not in own
        self.unscoped += tag == "svg" and not own.get("aria-label")
        self.loads += [name for name in ("src", "href") if name in own]
        if tag in {"script", "link"}:
            self.loads.append(tag)


async def test_the_page_loads_nothing_and_a_screen_reader_can_read_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    real = [DataItem(input=text, output="billing") for text in lines(25, 6)]
    await add_data(workspace, "P", items=real, author="person")
    await save(workspace, *(made_run(text, topic_path=HOSTILE) for text in lines(25, 7)))
    await split_data(workspace, "P", HOSTILE)
    answer = await report_data(workspace, "P")
    page = await anyio.Path(answer.page).read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(page)
    assert outline.loads == []
    assert outline.tables == outline.captions >= 5
    assert outline.unscoped == 0
    assert "prefers-color-scheme: dark" in page
    assert "alert(1)&lt;" in page
    assert "<script>" not in page
    assert re.search(r"url\(|@import|https?:", page) is None
