"""A certificate is verified: by its signature, and by the draws and labels of its project."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from bench import Bench, BenchSetup
from judge_script import NO_DIGITS, NO_DOGS, add_name_judge, add_names, names_setup
from kiln_mcp.judging import service as judging
from kiln_mcp.judging.certificates import service
from kiln_mcp.judging.certificates.answers import CertificateCheck, CertificateReport
from kiln_mcp.labels.ledger import LABELS
from storage import Eval, EvalConfig, LlmJudge
from storage.errors import Refusal, WorkbenchError

OUTPUTS = ["cat", "c4t"] * 10


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def issued(bench: Bench, count: int = 12) -> anyio.Path:
    """Label items of an audit as the judge does, and return the signed file."""
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    await add_names(bench, *OUTPUTS)
    items = (await bench.batch(count)).items
    await bench.label(
        {i.item: "fail" if any(map(str.isdigit, i.output)) else "pass" for i in items}
    )
    call = bench.arguments(target=0.6, show="certificate")
    report = await judging.check_judge.invoke(bench.workspace, call)
    assert isinstance(report, CertificateReport)
    step = report.next[-1]
    assert step.tool == "verify_certificate", "the answer says how it is verified"
    assert step.arguments is not None
    return anyio.Path(str(step.arguments["file"]))


async def verified(bench: Bench, file: anyio.Path, **arguments: str) -> CertificateCheck:
    call = {"file": str(file), **arguments}
    report = await service.verify_certificate.invoke(bench.workspace, call)
    assert isinstance(report, CertificateCheck)
    return report


async def evaluator_of(bench: Bench) -> tuple[Eval, EvalConfig]:
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    (evaluator,) = await bench.store.children(eval_record, EvalConfig)
    return eval_record, evaluator


async def test_a_certificate_as_it_was_signed_is_valid_and_is_computed_again(bench: Bench) -> None:
    file = await issued(bench)
    alone = await verified(bench, file)
    assert (alone.signature, alone.replay) == ("valid", "not_tried")
    assert [step.tool for step in alone.next] == ["verify_certificate"]
    again = await verified(bench, file, project=bench.folder)
    assert (again.signature, again.replay, again.differences) == ("valid", "same", [])
    assert again.says.endswith("The judge is still as it was.")


async def test_labels_after_its_issue_do_not_change_what_a_certificate_says(bench: Bench) -> None:
    file = await issued(bench, count=8)
    items = (await bench.batch(6)).items
    await bench.label({item.item: "pass" for item in items})
    assert (await verified(bench, file, project=bench.folder)).replay == "same"


async def test_a_changed_number_or_an_added_field_is_refused(bench: Bench) -> None:
    file = await issued(bench)
    content = json.loads(await file.read_text(encoding="utf-8"))
    forged = file.with_name("forged.json")
    certificate = {**content["certificate"], "low": 0.99}
    await forged.write_text(json.dumps({**content, "certificate": certificate}), encoding="utf-8")
    with pytest.raises(Refusal, match="was changed after this home signed it"):
        await verified(bench, forged)
    certificate = {**content["certificate"], "note": "approved by the board"}
    await forged.write_text(json.dumps({**content, "certificate": certificate}), encoding="utf-8")
    with pytest.raises(Refusal, match="never signed"):
        await verified(bench, forged)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "x" * 5_000_000])
async def test_a_file_that_is_no_certificate_is_refused_with_the_command_that_writes_one(
    bench: Bench, tmp_path: Path, text: str
) -> None:
    file = anyio.Path(tmp_path / "no.json")
    await file.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match="check-judge --show certificate"):
        await verified(bench, file)
    with pytest.raises(Refusal, match="cannot be read"):
        await verified(bench, file.with_name("nothing.json"))


async def test_another_home_computes_a_certificate_again_and_trusts_no_signature(
    bench: Bench,
) -> None:
    file = await issued(bench)
    key = bench.workspace.settings.home / "certificate.key"
    await anyio.Path(key).unlink()
    report = await verified(bench, file, project=bench.folder)
    assert (report.signature, report.replay) == ("other_home", "same")
    assert "the signature tells nothing" in report.says


async def test_a_label_that_was_altered_is_named_by_the_replay(bench: Bench) -> None:
    file = await issued(bench)
    eval_record, _ = await evaluator_of(bench)
    lines = await bench.store.side_lines(eval_record, LABELS)
    first = json.loads(lines[0])
    altered = json.dumps({**first, "value": 1 - first["value"]})
    content = "\n".join([altered, *lines[1:], ""]).encode()
    async with bench.store.transaction() as change:
        change.write_side_file(eval_record, LABELS, content)
    report = await verified(bench, file, project=bench.folder)
    assert report.replay == "differs"
    assert "the agreements: 12 and now 11" in report.differences
    assert "The project does not give it again" in report.says


async def test_a_changed_judge_makes_a_certificate_stale_and_another_project_has_no_audit(
    bench: Bench,
) -> None:
    file = await issued(bench)
    _, evaluator = await evaluator_of(bench)
    assert isinstance(evaluator.properties, LlmJudge)
    properties = evaluator.properties.model_copy(update={"judge_instructions": (NO_DIGITS,)})
    async with bench.store.transaction() as change:
        change.save(evaluator.replace(properties=properties))
    report = await verified(bench, file, project=bench.folder)
    assert report.changed == ["the judge's instructions or settings"]
    assert "It is stale" in report.says
    other = Path(bench.folder).with_name("other")
    shutil.copytree(bench.folder, other, ignore=shutil.ignore_patterns("kiln_mcp_audits.jsonl"))
    report = await verified(bench, file, project=str(other))
    assert report.differences == ["the project has no audit with this pool, opened at this moment"]


async def test_the_page_is_written_where_the_person_wants_it(bench: Bench, tmp_path: Path) -> None:
    file = await issued(bench)
    target = anyio.Path(tmp_path / "trust.html")
    report = await verified(bench, file, page=str(target))
    assert report.page == str(target)
    assert "Audit of the judge llm judge" in await target.read_text(encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"ends in \.html"):
        await verified(bench, file, page=str(target.with_suffix(".pdf")))
    silent = replace(bench.workspace, person=None)
    with pytest.raises(WorkbenchError, match=r"trust\.html"):
        await service.verify_certificate.invoke(silent, {"file": str(file), "page": str(target)})
