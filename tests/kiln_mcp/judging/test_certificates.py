"""Judges are audited and certified, driven as every door drives it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser

import anyio
import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.judging import service
from kiln_mcp.judging.answers import AgreementReport, LabellingBatch
from kiln_mcp.judging.certificates.answers import CertificateReport, CertificateRow
from kiln_mcp.judging.certificates.audit_receipts import RECEIPTS
from kiln_mcp.judging.certificates.certificate import SignedCertificate
from kiln_mcp.judging.certificates.certificate_files import CERTIFICATES, read_earlier
from kiln_mcp.labels.audit_lines import AUDITS, AuditDraw, read_audits
from kiln_mcp.labels.certificate_lines import read_certificates
from kiln_mcp.labels.ledger import DRAWS, LABELS
from kiln_mcp.labels.signature import is_signed_here
from kiln_mcp.llm import ModelRequest
from storage import Eval, EvalConfig, LlmJudge, Task, TaskOutput, TaskRun


def judge(request: ModelRequest) -> str:
    """Pass what has no digit; the judge of the panel passes what has no 9."""
    asked = "\n".join(str(message.content) for message in request.messages)
    output = asked.split("<model_response>")[1].split("</model_response>")[0]
    bad = "9" in output if "Is it a number?" in asked else any(c.isdigit() for c in output)
    return json.dumps({"reasoning": "I looked.", "right": "fail" if bad else "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_pool(bench: Bench, good: int = 150, bad: int = 50) -> None:
    await bench.evaluator_of(
        "Right",
        {"type": "llm_judge", "steps": ["Is it an animal?"]},
        {"test_filter": "tag::eval_right"},
    )
    async with bench.store.transaction() as change:
        for number in range(good + bad):
            output = f"cat {'abcdefgh'[number % 8]}" if number < good else f"c4t {number}"
            run = TaskRun(
                input=f"animal {number}", output=TaskOutput(output=output), tags=("golden_right",)
            )
            change.save(run, parent=bench.task)


def agreeing(batch: LabellingBatch) -> dict[str, str]:
    """Return labels that agree with the judge."""
    return {i.item: "fail" if any(c.isdigit() for c in i.output) else "pass" for i in batch.items}


def opposite(labels: Mapping[str, str]) -> dict[str, str]:
    return {item: "pass" if label == "fail" else "fail" for item, label in labels.items()}


async def certified(bench: Bench, **arguments: object) -> CertificateReport:
    call = bench.arguments(**arguments)
    report = await service.check_judge.invoke(bench.workspace, call)
    assert isinstance(report, CertificateReport)
    return report


async def row_of(bench: Bench, **arguments: object) -> CertificateRow:
    (row,) = (await certified(bench, **arguments)).certificates
    return row


async def evaluator_of(bench: Bench) -> EvalConfig:
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    return (await bench.store.children(eval_record, EvalConfig))[0]


async def test_a_judge_that_agrees_is_certified_with_few_labels(bench: Bench) -> None:
    await add_pool(bench)
    first = await row_of(bench, target=0.8)
    assert (first.state, first.labels, first.outputs) == ("not_yet", 0, 200)
    for _ in range(3):
        await bench.label(agreeing(await bench.batch(20)))
    report = await certified(bench, target=0.8)
    (row,) = report.certificates
    assert (row.state, row.skips) == ("certified", 0)
    assert 50 < row.labels <= 60, "some items of the batches are blind repeats"
    assert "agrees with ann on at least 80 % of these 200 outputs" in row.sentence
    assert row.low >= 0.8
    assert [step.tool for step in report.next] == ["run_eval"]


async def test_a_judge_that_disagrees_is_not_reachable_and_is_said_to_need_work(
    bench: Bench,
) -> None:
    await add_pool(bench)
    for _ in range(2):
        labels = agreeing(await bench.batch(20))
        wrong = dict(list(opposite(labels).items())[::2])
        await bench.label({**labels, **wrong})
    row = await row_of(bench, target=0.9)
    assert row.state == "not_reachable"
    assert "agrees with ann on at most" in row.sentence
    assert row.high < 0.9


async def test_labels_that_are_still_too_few_say_about_how_many_more(bench: Bench) -> None:
    await add_pool(bench)
    for _ in range(2):
        labels = agreeing(await bench.batch(20))
        wrong = dict(list(opposite(labels).items())[:2])
        await bench.label({**labels, **wrong})
    row = await row_of(bench, target=0.86)
    assert row.state == "not_yet"
    assert row.more_labels is not None
    assert "takes about" in row.sentence or "may never be reached" in row.sentence


async def test_an_item_that_is_passed_over_counts_against_the_judge(bench: Bench) -> None:
    await add_pool(bench)
    batch = await bench.batch(30)
    labels = agreeing(batch)
    kept = dict(list(labels.items())[10:])
    await bench.label(kept)
    before = await row_of(bench, target=0.8)
    assert before.skips == 10
    assert "10 drawn items before the last label wait for theirs" in before.sentence
    again = await bench.batch(13)  # three of them are blind repeats
    waiting = {item.item for item in again.items} - kept.keys()
    assert waiting == labels.keys() - kept.keys(), "what waits is shown first"
    await bench.save_labels([{"item": item, "label": "cannot judge"} for item in waiting], "ann")
    await bench.label(agreeing(await bench.batch(10)))
    after = await row_of(bench, target=0.8)
    assert after.labels > 20
    assert after.skips == 10
    assert "10 drawn items were passed over or cannot be judged" in after.sentence
    assert after.low < 0.8


async def test_one_common_verdict_is_no_information(bench: Bench) -> None:
    await add_pool(bench, good=100, bad=1)
    for _ in range(4):
        batch = await bench.batch(20)
        await bench.label({item.item: "pass" for item in batch.items})
    row = await row_of(bench, target=0.85)
    assert row.state in {"no_information", "labels_contradict"}


async def test_the_audit_is_stale_once_the_judge_changes_and_begins_anew(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(30)))
    evaluator = await evaluator_of(bench)
    properties = evaluator.properties
    assert isinstance(properties, LlmJudge)
    changed = properties.replace(judge_instructions=("Is it really an animal?",))
    await bench.store.save(evaluator.replace(properties=changed))
    stale = await row_of(bench, target=0.8)
    assert stale.state == "stale"
    assert "the judge's instructions or settings changed" in stale.sentence
    batch = await bench.batch(10)
    audits = await read_audits(bench.store, await evaluator_of(bench))
    assert len(audits) == 2
    pool = {item for stratum in audits[1].opening.strata for item in stratum.items}
    drawn = {draw.item for draw in audits[0].draws}
    assert len(pool) == 170
    assert pool.isdisjoint(drawn), "older labels are for development"
    fresh = {item.item for item in batch.items} - drawn
    assert fresh
    assert fresh <= pool


async def test_the_audit_ends_once_an_output_of_its_pool_changes(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(10)))
    run = (await bench.store.children(bench.task, TaskRun))[0]
    await bench.store.save(run.replace(output=run.output.replace(output="dog")))
    assert (await row_of(bench, target=0.8)).state == "stale"
    again = await row_of(bench, target=0.8)
    assert "an output or a verdict of the pool changed" in again.sentence


async def test_a_label_that_is_changed_after_it_counted_opens_the_audit_again(
    bench: Bench,
) -> None:
    await add_pool(bench)
    batches = [await bench.batch(20) for _ in range(1)]
    labels = agreeing(batches[0])
    await bench.label(labels)
    for _ in range(2):
        await bench.label(agreeing(await bench.batch(20)))
    before = await row_of(bench, target=0.85)
    assert before.state == "certified"
    await bench.label(dict(list(opposite(labels).items())[:12]))
    after = await row_of(bench, target=0.85)
    assert after.state != "certified"
    assert "12 labels were changed after they had counted" in after.sentence


async def test_two_judges_on_the_same_labels_share_the_error(bench: Bench) -> None:
    await add_pool(bench)
    await bench.evaluator(type="llm_judge", name="Second", steps=["Is it a number?"])
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    names = [config.name for config in await bench.store.children(eval_record, EvalConfig)]
    for name in names:
        await certified(bench, evaluators=[name], target=0.8)
    for name in names:
        await bench.label(agreeing(await bench.batch(100, evaluator=name)))
    report = await certified(bench, target=0.8)
    assert len(report.certificates) == 2
    sentence = next(r.sentence for r in report.certificates if r.state == "certified")
    assert "at most 2.5 % are wrong" in sentence


class _Page(HTMLParser):
    """Collects what an accessible page needs."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(f"{tag}.{name}", []).append(value or "")


async def test_a_certificate_is_signed_and_comes_with_one_page_to_print(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(60)))
    row = await row_of(bench, target=0.8, show="certificate")
    assert row.page is not None
    assert row.document is not None
    document = await anyio.Path(row.document).read_text(encoding="utf-8")
    signed = SignedCertificate.model_validate_json(document)
    home = bench.workspace.settings.home
    assert is_signed_here(signed.certificate, signed.signature, home)
    forged = signed.certificate.model_copy(update={"low": 0.99})
    assert not is_signed_here(forged, signed.signature, home)
    assert (signed.certificate.state, signed.certificate.labels) == ("certified", 60)
    assert sum(s.labels for s in signed.certificate.strata) == 60
    assert signed.certificate.numbers["agreement"].value == 1.0
    text = await anyio.Path(row.page).read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.attributes["html.lang"] == ["en"]
    assert page.tags.count("table") == page.tags.count("caption") == 3
    assert "th.scope" in page.attributes
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    for part in ("prefers-color-scheme: dark", "@media print", signed.certificate.pool_hash):
        assert part in text
    lines = await bench.store.side_lines(await evaluator_of(bench), CERTIFICATES)
    assert [SignedCertificate.model_validate_json(line) for line in lines] == [signed]
    earlier = await read_earlier(bench.store, await evaluator_of(bench), home)
    assert (len(earlier.signed_here), earlier.other_count) == (1, 0)
    beside = await read_certificates(bench.store, await evaluator_of(bench), home)
    assert [agreement.low for agreement in beside.agreements] == [signed.certificate.low]
    elsewhere = await read_certificates(bench.store, await evaluator_of(bench), home / "other")
    assert (elsewhere.agreements, elsewhere.is_any_unsigned) == ((), True)


async def test_a_name_in_a_certificate_is_text_and_no_markup(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(10)), rater="<b>ann</b>")
    row = await row_of(bench, show="certificate")
    assert row.page is not None
    text = await anyio.Path(row.page).read_text(encoding="utf-8")
    assert "<b>ann" not in text
    assert "&lt;b&gt;ann" in text


async def test_without_a_target_the_limit_that_the_labels_show_is_certified(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(60)))
    row = await row_of(bench, show="certificate")
    assert row.state == "certified"
    assert row.claim == pytest.approx(row.low)
    assert row.low > 0.7


async def test_a_summary_weighs_the_audits_labels_and_tells_picked_ones_apart(
    bench: Bench,
) -> None:
    await add_pool(bench)
    labels = agreeing(await bench.batch(40))
    await bench.label({**labels, **dict(list(opposite(labels).items())[:4])})
    drawn = {draw.item for draw in (await _audit_of(bench))}
    runs = await bench.store.children(bench.task, TaskRun)
    picked = [run for run in runs if run.id not in drawn][:5]
    await bench.label({run.id: "fail" for run in picked})
    report = await service.check_judge.invoke(bench.workspace, bench.arguments())
    assert isinstance(report, AgreementReport)
    assert [(row.basis, row.n) for row in report.rows] == [("drawn", 40), ("by hand", 5)]
    row = report.rows[0]
    assert row.low < row.agreement < row.high
    assert {"bias", "mean_error", "tau_b", "true_pass_rate", "true_fail_rate"} == set(row.intervals)
    assert "of items that were picked, and of no others" in report.conclusions[-1]


async def test_a_damaged_line_costs_itself_alone(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(20)))
    evaluator = await evaluator_of(bench)
    async with bench.store.transaction() as change:
        change.append_lines(evaluator, AUDITS, ['{"line": "draw", "audit": 7}'])
    report = await certified(bench, target=0.8)
    assert report.certificates[0].labels == 20
    assert any("cannot be read and is skipped" in warning for warning in report.warnings)


async def test_a_draw_that_begins_anew_after_a_kill_is_made_once(bench: Bench) -> None:
    await add_pool(bench)
    attempt = replace(bench, workspace=replace(bench.workspace, job="4711"))
    first, again = await attempt.batch(8), await attempt.batch(8)
    assert {item.item for item in first.items} == {item.item for item in again.items}
    assert len(await _audit_of(bench)) == 8


async def _audit_of(bench: Bench) -> list[AuditDraw]:
    (audit,) = await read_audits(bench.store, await evaluator_of(bench))
    return list(audit.draws)


async def test_labels_drawn_for_another_judge_keep_their_weights_and_are_never_mixed(
    bench: Bench,
) -> None:
    await add_pool(bench)
    await bench.evaluator(type="llm_judge", name="Second", steps=["Is it a number?"])
    await bench.label(agreeing(await bench.batch(40, evaluator="llm judge")))
    await bench.label(agreeing(await bench.batch(20, evaluator="Second")))
    report = await service.check_judge.invoke(bench.workspace, bench.arguments())
    assert isinstance(report, AgreementReport)
    rows = {row.evaluator: row for row in report.rows}
    assert all(row.basis == "drawn" for row in rows.values())
    assert rows["llm judge"].agreement == 1.0
    assert rows["llm judge"].n + rows["Second"].n >= 55
    assert sum("labels that were drawn another way are left out" in c for c in report.conclusions)


async def _side_file(bench: Bench, name: str) -> anyio.Path:
    (path,) = [path async for path in anyio.Path(bench.folder).rglob(name)]
    return path


async def test_an_audit_that_lost_draws_has_ended_and_certifies_nothing(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(60)))
    assert (await row_of(bench, target=0.8)).state == "certified"
    path = await _side_file(bench, AUDITS)
    lines = (await path.read_text(encoding="utf-8")).splitlines(keepends=True)
    await path.write_text("".join([*lines[:5], *lines[9:]]), encoding="utf-8")
    row = await row_of(bench, target=0.8)
    assert row.state == "stale"
    assert "its list of draws, of which some are missing" in row.sentence


Alteration = Callable[[list[float]], list[float]]
ALTERATIONS: Mapping[str, tuple[slice, Alteration]] = {
    "sum": (slice(3, 4), lambda chances: [chance * 0.9 for chance in chances]),
    "length": (slice(-1, None), lambda chances: [*chances, 0.0]),
    "first request": (slice(0, 20), lambda chances: [chances[0] + 0.05, chances[1] - 0.05]),
    "within a request": (slice(30, 31), lambda chances: [chances[0] - 0.05, chances[1] + 0.05]),
    "floor": (slice(20, 60), lambda _: [0.99, 0.01]),
}


async def test_an_audit_that_lost_its_last_draws_has_ended(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(20)))
    for _ in range(2):
        await bench.label(agreeing(await bench.batch(20)))
    audits, draws = await _side_file(bench, AUDITS), await _side_file(bench, DRAWS)
    lines = (await audits.read_text(encoding="utf-8")).splitlines(keepends=True)
    for last in (-1, -30, 1):
        await audits.write_text("".join(lines[:last]), encoding="utf-8")
        row = await row_of(bench, target=0.7)
        assert row.state == "stale", last
        assert "its list of draws, of which some are missing" in row.sentence
    ledger = (await draws.read_text(encoding="utf-8")).splitlines(keepends=True)
    await draws.write_text("", encoding="utf-8")
    assert (await row_of(bench, target=0.7)).state == "stale", "labels name the draws, too"
    await draws.write_text("".join(ledger), encoding="utf-8")
    await bench.batch(5)
    first, second = await read_audits(bench.store, await evaluator_of(bench))
    assert not first.draws
    assert second.draws


async def test_an_audit_whose_probabilities_were_altered_has_ended(bench: Bench) -> None:
    await add_pool(bench)
    for _ in range(2):
        await bench.label(agreeing(await bench.batch(20)))
    path = await _side_file(bench, AUDITS)
    own_text = await path.read_text(encoding="utf-8")
    for name, (places, alter) in ALTERATIONS.items():
        lines = [json.loads(line) for line in own_text.splitlines()]
        for line in [line for line in lines if line["line"] == "draw"][places]:
            line["probabilities"] = alter(line["probabilities"])
        text = "".join(json.dumps(line) + "\n" for line in lines)
        await path.write_text(text, encoding="utf-8")
        row = await row_of(bench, target=0.7)
        assert row.state == "stale", name
        assert "its list of draws, of which some do not replay" in row.sentence
    await path.write_text(own_text, encoding="utf-8")
    assert (await row_of(bench, target=0.7)).state == "certified"


async def test_draws_that_two_machines_made_side_by_side_all_count(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(20)))
    paths = [await _side_file(bench, name) for name in (AUDITS, DRAWS, LABELS)]
    common = [await path.read_text(encoding="utf-8") for path in paths]
    await bench.label(agreeing(await bench.batch(20, seed=1)))
    first = [await path.read_text(encoding="utf-8") for path in paths]
    for path, text in zip(paths, common, strict=True):
        await path.write_text(text, encoding="utf-8")
    await anyio.Path(bench.store.state_folder / RECEIPTS).unlink()  # the other machine has none
    await bench.label(agreeing(await bench.batch(20, seed=2)))
    for path, text, own in zip(paths, common, first, strict=True):
        second = (await path.read_text(encoding="utf-8")).removeprefix(text)
        await path.write_text(own + second, encoding="utf-8")
    row = await row_of(bench, target=0.8)
    assert row.state == "certified"
    assert row.labels > 40


async def test_items_on_which_raters_differ_count_against_a_judge_until_a_majority_decides(
    bench: Bench,
) -> None:
    await add_pool(bench)
    assert (await row_of(bench, target=0.8)).state == "not_yet"
    labels = agreeing(await bench.batch(60))
    await bench.label(labels, rater="bob")
    assert (await row_of(bench, target=0.8)).state == "certified"
    await bench.label(opposite(labels), rater="ann")
    split = await row_of(bench, target=0.8)
    assert (split.low, split.labels) == (0.0, 0)
    assert "60 drawn items have labels of raters who differ" in split.sentence
    await bench.label(labels, rater="cleo")
    decided = await row_of(bench, target=0.8)
    assert (decided.state, decided.labels) == ("certified", 60)


async def test_a_rater_who_writes_their_name_otherwise_changes_their_own_labels(
    bench: Bench,
) -> None:
    await add_pool(bench)
    labels = agreeing(await bench.batch(60))
    await bench.label(labels)
    await bench.label(opposite(labels), rater="Ann")
    row = await row_of(bench, target=0.8)
    assert row.state == "not_yet"
    assert "60 labels were changed after they had counted" in row.sentence


async def test_a_judge_that_changed_still_shares_the_error_of_the_labels_it_saw(
    bench: Bench,
) -> None:
    await add_pool(bench)
    await bench.evaluator(type="llm_judge", name="Second", steps=["Is it a number?"])
    await certified(bench, target=0.8)
    for name in ("llm judge", "Second"):
        await bench.label(agreeing(await bench.batch(100, evaluator=name)))
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    record = await bench.store.find(EvalConfig, "Second", parent=eval_record)
    properties = record.properties
    assert isinstance(properties, LlmJudge)
    changed = properties.replace(judge_instructions=("Is it really a number?",))
    await bench.store.save(record.replace(properties=changed))
    row = await row_of(bench, evaluators=["llm judge"], target=0.8)
    assert "at most 2.5 % are wrong" in row.sentence


async def test_a_certificate_that_was_changed_is_told_of_and_does_not_count(bench: Bench) -> None:
    await add_pool(bench)
    await bench.label(agreeing(await bench.batch(60)))
    await row_of(bench, target=0.8, show="certificate")
    path = await _side_file(bench, CERTIFICATES)
    text = await path.read_text(encoding="utf-8")
    await path.write_text(text.replace('"low":0.', '"low":0.9', 1), encoding="utf-8")
    report = await certified(bench, target=0.8)
    assert report.earlier == 0
    assert any("were changed, or written by another home" in w for w in report.warnings)
