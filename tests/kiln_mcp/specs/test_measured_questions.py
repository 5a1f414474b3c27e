"""Questions are asked where the readings of a panel part, on real outputs, until none decides."""

import json
import re
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.judging.certificates.answers import CertificateReport
from kiln_mcp.judging.service import check_judge, draw_items_to_label
from kiln_mcp.llm import ModelRequest
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from kiln_mcp.specs.arguments import QuestionAnswer
from spec_bench import SpecBench, assistant, open_spec_bench

FIELDS = {"core_requirement": "The reply is short.", "tone_description": "- It names an order."}
_CLAUSE = re.compile(r"- (d\d\.c\d) \(must")
_BLOCK = re.compile(r"Output (\d+)\nInput: .*?\nOutput: [^\n]*?order (\d+)", re.DOTALL)


def panel(request: ModelRequest) -> str:
    """Judge as readers do to whom "short" means different lengths, and an order is an order."""
    system, user = (message.content for message in request.messages[:2])
    if "rewordings" in user:
        rewordings: list[JsonValue] = [
            {"clause": id, "texts": [f"wording {n} of {id}" for n in (1, 2)]}
            for id in _CLAUSE.findall(user)
        ]
        return json.dumps({"rewordings": rewordings})
    if "Output 1\nInput:" not in user:
        return assistant(request)
    is_strict = "evidently for" in system
    verdicts: list[JsonValue] = []
    for number, words in _BLOCK.findall(user):
        passes = not (is_strict and int(words) % 3 == 0)
        for clause in _CLAUSE.findall(user):
            value = passes or not clause.endswith(".c1")
            verdicts.append(
                {
                    "output": int(number),
                    "clause": clause,
                    "verdict": "pass" if value else "fail",
                    "reason": "so it reads",
                }
            )
    return json.dumps({"verdicts": verdicts})


async def test_a_panel_finds_the_clause_that_splits_readers_and_asks_on_its_output(
    tmp_path: Path,
) -> None:
    async with open_spec_bench(tmp_path, panel, outputs=24) as bench:
        outputs = {run.output.output for run in await bench.runs()}
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Short")
        while (report := await bench.call()).question is not None:
            answer = QuestionAnswer(question=report.question.id, answer="skip it")
            await bench.call(answers=[answer])
        first = len(bench.model.requests)
        job = SpecBench(bench.folder, replace(bench.workspace, job="j"), bench.model)
        await job.call(model="scripted")
        report = await job.call(model="scripted")
        assert report.author == "scripted"
        measured = [f for f in report.findings if f.source == "a panel of scripted"]
        assert [finding.clause for finding in measured] == ["c1"]
        question = report.question
        assert question is not None
        assert question.output in outputs
        assert any("readings by scripted judged" in text for text in report.search_scope)
        asked = len(bench.model.requests)
        assert asked > first
        seen = {question.output}
        report = await bench.call(answers=[QuestionAnswer(question="Jokes?  No.", answer="none")])
        assert report.question is not None
        for _ in range(5):
            given = QuestionAnswer(question=question.id, answer=question.options[0])
            report = await bench.call(answers=[given])
            if report.question is None:
                break
            question = report.question
            assert question.output not in seen
            seen.add(question.output)
        assert len(bench.model.requests) == asked  # the panel's verdicts lie beside the task
        assert report.question is None
        assert len(seen) <= 5
        assert len(report.specs[0].examples) >= len(seen)


async def test_a_panel_whose_readings_agree_asks_nothing_and_says_what_it_looked_at(
    tmp_path: Path,
) -> None:
    fields = {"core_requirement": "It names an order.", "tone_description": "It names an order."}
    async with open_spec_bench(tmp_path, agreeing, outputs=12) as bench:
        await bench.call(kind=SpecKind.TONE, fields=fields, name="Order", answers="assume")
        count = len((await bench.call()).findings)
        report = await bench.call(model="scripted")
        assert "no clause splits the readings beyond the noise" in (report.message or "")
        assert len(report.findings) == count
        assert report.next[0].tool == "build_spec"


def agreeing(request: ModelRequest) -> str:
    answer = json.loads(panel(request))
    for item in answer.get("verdicts", []):
        item["verdict"] = "pass"
    return json.dumps(answer)


async def test_the_ambiguity_of_a_saved_spec_stands_beside_its_judges_certificate(
    tmp_path: Path,
) -> None:
    def judge_or_panel(request: ModelRequest) -> str:
        is_judge = "short" in (request.schema or {}).get("properties", {})
        return json.dumps({"reasoning": "so", "short": "pass"}) if is_judge else panel(request)

    async with open_spec_bench(
        tmp_path, judge_or_panel, outputs=24, default_model="scripted"
    ) as bench:
        await bench.call(kind=SpecKind.TONE, fields=FIELDS, name="Short", answers="assume")
        await bench.call(model="scripted")
        await bench.call(save=True)
        arguments: dict[str, JsonValue] = {"project": bench.project, "eval": "Short"}
        draw = {"outputs": "all", "purpose": "certificate", "count": 2, "rater": "ann"}
        await draw_items_to_label.invoke(bench.workspace, {**arguments, **draw})
        report = await check_judge.invoke(bench.workspace, {**arguments, "target": 0.8})
        assert isinstance(report, CertificateReport)
        (short,) = [text for text in report.ambiguity if "The reply is short." in text]
        assert "readers differ on it, by models on 24 outputs, not by people" in short
        for run in await bench.runs():
            output = run.output.replace(output=f"{run.output.output} Changed.")
            await (await bench.store()).save(run.replace(output=output))
        later = await check_judge.invoke(bench.workspace, {**arguments, "target": 0.8})
        assert isinstance(later, CertificateReport)
        assert later.ambiguity == []
