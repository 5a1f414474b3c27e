"""The drafts of benchmarks/specs: planted faults are found, and clean specs raise no alarm."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.spec_texts.findings import is_alarm, is_missing_example
from kiln_mcp.spec_texts.spec_checks import check_content
from kiln_mcp.spec_texts.spec_content import FindingKind
from kiln_mcp.specs.model_calls import SpecWriter

FOLDER = Path(__file__).parents[3] / "benchmarks" / "specs"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module("spec_drafts")


def test_the_drafts_plant_each_kind_in_three_languages(bench: ModuleType) -> None:
    drafts = bench.read_drafts()
    planted = [draft for draft in drafts if draft.fault]
    assert len(planted) >= 60
    assert len(drafts) - len(planted) >= 30
    places = {(draft.language, draft.fault.kind) for draft in planted}
    assert places == {(name, kind) for name in ("en", "de", "ja") for kind in FindingKind}


def test_rules_raise_no_alarm_on_more_than_5_percent_of_clean_specs(bench: ModuleType) -> None:
    drafts = bench.read_drafts()
    items = {draft.id: check_content(draft.content, draft.context) for draft in drafts}
    alarms = {id: list(filter(is_alarm, found)) for id, found in items.items()}
    worded = {id: [i for i in found if not is_missing_example(i)] for id, found in items.items()}
    for found in (alarms, worded):
        score = bench.score(found, drafts)
        assert score.alarms <= 0.05 * score.clean, score.text
        assert score.hits >= 9, score.text


def test_rules_raise_no_alarm_on_clean_specs_written_after_them(bench: ModuleType) -> None:
    drafts = [draft for draft in bench.read_drafts(bench.FRESH) if draft.fault is None]
    found = [item for draft in drafts for item in check_content(draft.content, draft.context)]
    assert len(drafts) == 42
    assert [item for item in found if not is_missing_example(item)] == []


async def test_recorded_answers_find_80_percent_with_10_percent_false_alarms(
    bench: ModuleType,
) -> None:
    recorded = importlib.import_module("recorded_model")
    examination = importlib.import_module("examination")
    drafts = bench.read_drafts()
    script = recorded.RecordedModel(recorded.RECORDED / "host.jsonl")
    async with Engine(EngineSettings(), {"recorded": script}) as engine:
        found, _ = await examination.findings_of(SpecWriter(engine, "recorded", ""), drafts)
    score = bench.score(found, drafts)
    assert score.hits >= 0.8 * score.planted, score.text
    assert score.alarms <= 0.1 * score.clean, score.text
