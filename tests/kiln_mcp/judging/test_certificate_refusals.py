"""What a certificate and its audit refuse, and what they say without labels."""

import json
from pathlib import Path

import anyio
import pytest

from bench import Bench, BenchSetup
from judge_script import (
    NO_DIGITS,
    NO_DOGS,
    add_name_judge,
    add_names,
    names_setup,
)
from kiln_mcp.judging import service
from kiln_mcp.judging.certificates.answers import CertificateReport
from kiln_mcp.judging.certificates.certificate import Number, SignedCertificate, number_of
from kiln_mcp.judging.certificates.certificate_files import CERTIFICATES, issue, read_earlier
from kiln_mcp.judging.certificates.certificate_page import certificate_page
from kiln_mcp.statistics import CannotTell, Estimate
from storage import DesiredBehaviour, Eval, EvalConfig, Spec, TaskRun
from storage.errors import Refusal

OUTPUTS = ["cat", "c4t"] * 6


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def add_pool(bench: Bench) -> list[TaskRun]:
    """Add a judge that fails names with a digit, and twelve outputs for it."""
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    return await add_names(bench, *OUTPUTS)


async def certified(bench: Bench, **arguments: object) -> CertificateReport:
    report = await service.check_judge.invoke(
        bench.workspace, bench.arguments(target=0.8, **arguments)
    )
    assert isinstance(report, CertificateReport)
    return report


async def document_of(bench: Bench) -> SignedCertificate:
    """Return the certificate that is issued now."""
    (row,) = (await certified(bench, show="certificate")).certificates
    return SignedCertificate.model_validate_json(
        await anyio.Path(row.document or "").read_text(encoding="utf-8")
    )


async def records_of(bench: Bench) -> tuple[Eval, EvalConfig]:
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    return eval_record, (await bench.store.children(eval_record, EvalConfig))[0]


async def test_a_certificate_without_labels_has_no_number(bench: Bench) -> None:
    await add_pool(bench)
    certificate = (await document_of(bench)).certificate
    assert (certificate.state, certificate.labels) == ("not_yet", 0)
    assert (dict(certificate.numbers), certificate.agreement_at_any_stop) == ({}, None)


async def test_a_page_says_of_a_number_without_a_value_that_it_cannot_be_told(
    bench: Bench,
) -> None:
    await add_pool(bench)
    document = await document_of(bench)
    unknown = number_of(Estimate(CannotTell("no label"), CannotTell("no label")))
    assert unknown == Number(value=None, low=None, high=None)
    texts = [
        _page_of(document, Number(value=0.625, low=0.5, high=0.75), unknown),
        _page_of(document, Number(value=0.625), unknown),
        _page_of(document, unknown, unknown),
    ]
    stops = [text.split('<p class="soft">Agreement ')[1].split(":")[0] for text in texts]
    assert stops == ["62.5 % (50 % to 75 %)", "62.5 %", "cannot tell"]
    assert all("<td>cannot tell</td>" in text for text in texts)


def _page_of(document: SignedCertificate, agreement: Number, kappa: Number) -> str:
    numbers = {"numbers": {"kappa": kappa}, "agreement_at_any_stop": agreement}
    certificate = document.certificate.model_copy(update=numbers)
    return certificate_page(document.model_copy(update={"certificate": certificate}))


async def test_a_home_that_cannot_be_written_issues_no_certificate(
    bench: Bench, tmp_path: Path
) -> None:
    await add_pool(bench)
    certificate = (await document_of(bench)).certificate
    _, evaluator = await records_of(bench)
    lines = await bench.store.side_lines(evaluator, CERTIFICATES)
    home = tmp_path / "file"
    home.write_text("no folder", encoding="utf-8")
    with pytest.raises(Refusal, match="The certificate was not written, because"):
        await issue(bench.store, evaluator, certificate, home)
    assert await bench.store.side_lines(evaluator, CERTIFICATES) == lines


async def test_a_line_that_is_no_certificate_counts_as_one_of_another_home(bench: Bench) -> None:
    await add_pool(bench)
    await document_of(bench)
    _, evaluator = await records_of(bench)
    async with bench.store.transaction() as change:
        change.append_lines(evaluator, CERTIFICATES, [json.dumps({"certificate": 7})])
    earlier = await read_earlier(bench.store, evaluator, bench.workspace.settings.home)
    assert (len(earlier.signed_here), earlier.other_count) == (1, 1)


async def test_a_spec_that_is_written_after_the_audit_opened_makes_it_stale(bench: Bench) -> None:
    await add_pool(bench)
    await bench.batch(4)
    eval_record, _ = await records_of(bench)
    properties = DesiredBehaviour(desired_behaviour_description="Names are short.")
    spec = Spec(
        name="Names",
        definition="Names are short.",
        properties=properties,
        eval_id=eval_record.id,
    )
    await bench.store.save(spec, parent=bench.task)
    (row,) = (await certified(bench)).certificates
    assert row.state == "stale"
    assert "the spec changed after the audit opened" in row.sentence


async def test_no_audit_begins_with_outputs_whose_labels_were_there_before(bench: Bench) -> None:
    runs = await add_pool(bench)
    await bench.label({run.id: "pass" for run in runs})
    await bench.measure()
    with pytest.raises(Refusal, match="No audit of 'Right' can begin") as refusal:
        await bench.batch(4)
    assert [step.tool for step in refusal.value.next] == ["mark_runs"]


async def test_a_pool_that_is_drawn_whole_gives_the_items_that_wait_and_no_others(
    bench: Bench,
) -> None:
    await add_pool(bench)
    first = await bench.batch(len(OUTPUTS))
    again = await bench.batch(len(OUTPUTS))
    assert {item.item for item in again.items} == {item.item for item in first.items}


async def test_labels_that_the_panel_contradicts_lead_to_a_second_look(bench: Bench) -> None:
    await add_pool(bench)
    batch = await bench.batch(len(OUTPUTS))
    await bench.label({i.item: "pass" if "4" in i.output else "fail" for i in batch.items})
    await bench.measure(panel=3)
    report = await certified(bench)
    assert report.certificates[0].state == "labels_contradict"
    (step,) = report.next
    assert (step.arguments or {})["purpose"] == "second_look"
