"""What `build_spec` says is weak about a draft, and who looked for it."""

import json
from pathlib import Path

from kiln_mcp.llm import ModelRequest
from kiln_mcp.spec_texts.spec_content import FindingKind
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.arguments import DraftEdit
from spec_bench import assistant, open_spec_bench

GERMAN = {
    "core_requirement": "Die Antwort hat höchstens 40 Wörter.",
    "tone_description": "- Die Antwort hat mindestens 90 Wörter.\n- Die Antwort ist höflich.",
}
LENGTHS = {"desired_behaviour_description": "The reply has at most 40 words."}


async def test_rules_read_a_german_spec_and_say_what_they_cannot_see(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path) as bench:
        report = await bench.call(kind=SpecKind.TONE, fields=GERMAN)
        assert [(item.kind, item.words) for item in report.findings] == [
            (FindingKind.CONFLICTING, "mindestens 90 wörter")
        ]
        assert [item.words for item in report.hints] == ["höflich", "", ""]
        (scope,) = report.search_scope
        assert "(German)" in scope
        assert "No model looked for: underspecified" in scope


async def test_a_models_finding_stays_until_its_clause_changes(tmp_path: Path) -> None:
    async with open_spec_bench(tmp_path) as bench:
        report = await bench.call("polite, and no promises", model="scripted")
        places = [(item.draft, item.words, item.source, item.mend) for item in report.findings]
        assert places == [("d1", "insult", "scripted", "The reply must hold no swear word.")]
        added = [DraftEdit(target="d1", text="The reply ends with a name.")]
        report = await bench.call(edits=added)
        assert [item.words for item in report.findings] == ["insult"]
        mended = [DraftEdit(target="d1.c1", text="The reply must hold no swear word.")]
        report = await bench.call(edits=mended)
        assert report.findings == []
        assert "scripted looked for eight kinds" in report.search_scope[0]


async def test_a_model_that_fails_leaves_the_findings_of_the_rules(tmp_path: Path) -> None:
    def fail(request: ModelRequest) -> str:
        return "no" if '"confidence"' in json.dumps(request.schema) else assistant(request)

    async with open_spec_bench(tmp_path, fail) as bench:
        report = await bench.call(kind=SpecKind.TONE, fields=GERMAN, model="scripted")
        assert [item.source for item in report.findings] == ["rules"]
        assert "did not examine" in (report.message or "")
        assert "No model looked for" in report.search_scope[0]


async def test_other_specs_and_source_texts_are_compared(tmp_path: Path) -> None:
    kind = SpecKind.DESIRED_BEHAVIOUR
    async with open_spec_bench(tmp_path) as bench:
        report = await bench.call(kind=kind, fields=LENGTHS, name="Lengths", save=True)
        assert report.findings == []
        report = await bench.call(spec="Lengths")
        assert report.findings == []
        report = await bench.call(kind=kind, fields=LENGTHS, name="Short replies")
        (finding,) = report.findings
        assert (finding.kind, '"Lengths"' in finding.why) == (FindingKind.VACUOUS, True)
        policy = "The shop answers in a week. The reply has at least 80 words."
        report = await bench.call(kind=kind, fields=LENGTHS, name="Other", sources=[policy])
        assert '"Source 1" says "at least 80 words"' in report.findings[0].why
