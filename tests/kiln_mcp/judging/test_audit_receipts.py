"""An audit whose list of draws was deleted or rewritten, however consistently, has ended."""

import json
from pathlib import Path

import anyio
import pytest

from bench import Bench, BenchSetup
from judge_script import NO_DIGITS, NO_DOGS, add_name_judge, add_names, names_setup
from kiln_mcp.judging import service
from kiln_mcp.judging.certificates.answers import CertificateReport
from kiln_mcp.judging.certificates.audit_receipts import RECEIPTS
from kiln_mcp.labels.audit_lines import AUDITS
from kiln_mcp.labels.ledger import DRAWS, LABELS
from storage import Eval, EvalConfig, Record


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup()


async def begin(bench: Bench, *counts: int) -> None:
    """Draw and label items for a certificate, in so many draws."""
    await add_name_judge(bench, NO_DIGITS, NO_DOGS)
    await add_names(bench, *["cat", "c4t"] * 20)
    for seed, count in enumerate(counts):
        items = (await bench.batch(count, seed)).items
        await bench.label({i.item: "fail" if "4" in i.output else "pass" for i in items})


async def certificates(bench: Bench) -> CertificateReport:
    call = bench.arguments(target=0.6)
    report = await service.check_judge.invoke(bench.workspace, call)
    assert isinstance(report, CertificateReport)
    return report


async def records(bench: Bench) -> tuple[Eval, EvalConfig]:
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    (evaluator,) = await bench.store.children(eval_record, EvalConfig)
    return eval_record, evaluator


async def keep(bench: Bench, record: Record, name: str, lines: list[str]) -> None:
    async with bench.store.transaction() as change:
        change.write_side_file(record, name, "".join(f"{line}\n" for line in lines).encode())


async def forget_last_draw(bench: Bench) -> None:
    """Take the last draw away from every file of the project that tells of it."""
    eval_record, evaluator = await records(bench)
    draws = await bench.store.side_lines(eval_record, DRAWS)
    ids = [entry["id"] for entry in map(json.loads, draws) if entry["ledger"] == "certificate"]
    last = ids[-1]
    audits = await bench.store.side_lines(evaluator, AUDITS)
    labels = await bench.store.side_lines(eval_record, LABELS)
    await keep(bench, eval_record, DRAWS, [line for line in draws if last not in line])
    await keep(bench, eval_record, LABELS, [line for line in labels if last not in line])
    await keep(bench, evaluator, AUDITS, [line for line in audits if last not in line])


async def test_draws_that_were_taken_from_every_file_end_an_audit_at_its_home(
    bench: Bench,
) -> None:
    await begin(bench, 12, 10)
    (row,) = (await certificates(bench)).certificates
    assert (row.state, row.labels > 18) == ("certified", True)
    await forget_last_draw(bench)
    (row,) = (await certificates(bench)).certificates
    assert row.state == "stale"
    assert "its list of draws, of which some are missing" in row.sentence


async def test_a_home_that_never_wrote_a_draw_knows_nothing_of_it(bench: Bench) -> None:
    await begin(bench, 12, 10)
    await anyio.Path(bench.store.state_folder / RECEIPTS).unlink()
    await forget_last_draw(bench)
    (row,) = (await certificates(bench)).certificates
    assert (row.state, row.labels) == ("certified", 12)


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_deleted_list_of_audits_is_named_and_its_labels_certify_nothing(
    bench: Bench, is_remembered: bool
) -> None:
    await begin(bench, 20)
    _, evaluator = await records(bench)
    await keep(bench, evaluator, AUDITS, [])
    if not is_remembered:
        await anyio.Path(bench.store.state_folder / RECEIPTS).unlink()
    report = await certificates(bench)
    (row,) = report.certificates
    assert (row.state, row.labels, row.outputs) == ("not_yet", 0, 20)
    assert "1 audits of 'llm judge' are gone from kiln_mcp_audits.jsonl" in report.warnings[0]


async def test_receipts_that_cannot_be_read_or_written_stop_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    file = anyio.Path(bench.store.state_folder / RECEIPTS)
    await file.mkdir()
    await begin(bench, 12)
    (row,) = (await certificates(bench)).certificates
    assert row.state == "certified"
    await file.rmdir()
    await file.write_text("torn\nevaluator audit", encoding="utf-8")
    assert (await certificates(bench)).certificates == [row]
