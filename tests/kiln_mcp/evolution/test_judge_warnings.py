"""What the end of a search says of the judge that scored it: certified, stale, or neither."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import RootModel

from kiln_mcp.evals.fingerprints import judge_fingerprint
from kiln_mcp.evals.lookups import find_eval, load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.results.config_scores import ConfigScores
from kiln_mcp.evals.results.part_uses import UseNumber
from kiln_mcp.evolution.held_out import HeldOut
from kiln_mcp.evolution.search_context import SearchRequest, prepare
from kiln_mcp.evolution.warnings import judge_warnings
from kiln_mcp.labels.certificate_lines import CERTIFICATES, is_certified, read_certificates
from kiln_mcp.labels.signature import sign
from search_bench import Bench, by_instruction, open_search_bench
from storage import EvalConfig, StepsJudge


def home(folder: Path) -> Path:
    """Return the home of a bench, whose key signs its certificates."""
    return folder / "home"


ITEMS = [f"i{number}" for number in range(240)]


@asynccontextmanager
async def open_judged(folder: Path) -> AsyncGenerator[tuple[Bench, Measurement]]:
    """Open a bench whose eval has a judge."""
    async with open_search_bench(folder, by_instruction) as bench:
        measurement = await load_measurement(
            bench.store, await find_eval(bench.store, "Right"), None
        )
        judge = EvalConfig(
            name="strict",
            config_type="llm_as_judge",
            model_name="small",
            model_provider="kiln_custom_registry",
            properties=StepsJudge(eval_steps=("Is it right?",)),
        )
        judge = await bench.store.save(judge, parent=measurement.eval_record)
        yield bench, measurement.of(judge)


class _Content(RootModel[Mapping[str, object]]):
    """The JSON of a certificate."""


async def certify(judge: Measurement, signer: Path, low: float, **changes: object) -> None:
    """Leave a certificate beside a judge, as a home issues one."""
    certificate: Mapping[str, object] = {
        "state": "certified",
        "score": "right",
        "low": low,
        "high": 1.0,
        "judge_parts": await judge_fingerprint(judge),
        "issued_at": "2026-01-01T00:00:00Z",
        **changes,
    }
    async with judge.store.transaction() as change:
        code = sign(_Content(certificate), signer).code
        line = json.dumps({"certificate": certificate, "signature": {"code": code}})
        change.append_lines(judge.evaluator_record, CERTIFICATES, [line])


async def gain_of(bench: Bench, judge: Measurement, points: int) -> HeldOut:
    """Return held-out items of which the winner passes some points more than the start."""
    request = SearchRequest("start", 60, 0, None)
    first_config = (await prepare(bench.workspace, judge, request)).first
    configs = [first_config, first_config.replace(id="700000000001", name="evolved")]
    first = {"right": dict.fromkeys(ITEMS, 0.0)}
    second = {"right": {item: float(n % 100 < points) for n, item in enumerate(ITEMS)}}
    by_score = {
        (config.id, "right"): scores["right"]
        for config, scores in zip(configs, (first, second), strict=True)
    }
    scores = ConfigScores(judge, configs, first_config, ITEMS, ["right"], by_score)
    comparisons = scores.compare(0.025, 10.0)
    return HeldOut(configs, comparisons, first, second, UseNumber(1), 0, {})


async def test_a_gain_beyond_the_errors_of_a_certified_judge_is_one_for_people(
    tmp_path: Path,
) -> None:
    async with open_judged(tmp_path) as (bench, judge):
        await certify(judge, home(tmp_path), 0.9)
        (says,) = await judge_warnings(judge, await gain_of(bench, judge, 60), home(tmp_path))
    assert "agrees with people on 90% of outputs or more" in says
    assert "Its errors could make up to 20 points of right" in says
    assert says.endswith("so people see one too if the certificate holds for the winner's outputs.")


async def test_a_gain_within_the_errors_of_a_certified_judge_may_be_none_for_people(
    tmp_path: Path,
) -> None:
    async with open_judged(tmp_path) as (bench, judge):
        await certify(judge, home(tmp_path), 0.8)
        (says,) = await judge_warnings(judge, await gain_of(bench, judge, 30), home(tmp_path))
    assert "could make up to 40 points" in says
    assert says.endswith("only if the judge errs alike on start and winner.")


async def test_a_certificate_in_another_state_certifies_nothing(tmp_path: Path) -> None:
    async with open_judged(tmp_path) as (_, judge):
        await certify(judge, home(tmp_path), 0.9)
        assert await is_certified(judge.store, judge.evaluator_record, home(tmp_path))
        later = "2026-02-01T00:00:00Z"
        await certify(judge, home(tmp_path), 0.4, state="not_reachable", issued_at=later)
        assert not await is_certified(judge.store, judge.evaluator_record, home(tmp_path))
        (says,) = await judge_warnings(judge, None, home(tmp_path))
    assert says == (
        "The judge 'strict' was never compared with people's labels: a gain in its scores may be "
        "none that people see."
    )


async def test_a_certificate_of_a_judge_that_has_changed_since_is_called_stale(
    tmp_path: Path,
) -> None:
    async with open_judged(tmp_path) as (bench, judge):
        parts = await judge_fingerprint(judge)
        await certify(judge, home(tmp_path), 0.9, judge_parts={**parts, "task": "another"})
        (says,) = await judge_warnings(judge, await gain_of(bench, judge, 60), home(tmp_path))
    assert says.startswith("The certificate of the judge 'strict' is stale (the task's instruction")


async def test_a_gain_in_a_score_without_a_certificate_is_named(tmp_path: Path) -> None:
    async with open_judged(tmp_path) as (bench, judge):
        await certify(judge, home(tmp_path), 0.9, score="polite")
        (says,) = await judge_warnings(judge, await gain_of(bench, judge, 60), home(tmp_path))
    assert says.startswith("The judge 'strict' has no certificate for right:")


async def test_a_line_that_is_no_certificate_is_passed_over(tmp_path: Path) -> None:
    async with open_judged(tmp_path) as (_, judge):
        await certify(judge, home(tmp_path), 0.9, high="all")
        assert not await is_certified(judge.store, judge.evaluator_record, home(tmp_path))


@pytest.mark.parametrize("forgery", ["another home's key", "another limit", "no signature"])
async def test_a_forged_certificate_weakens_no_warning(forgery: str, tmp_path: Path) -> None:
    async with open_judged(tmp_path) as (bench, judge):
        own = home(tmp_path)
        await certify(judge, own, 0.6)
        (tmp_path / "other").mkdir()
        await certify(judge, tmp_path / "other", 0.6, issued_at="2026-01-02T00:00:00Z")
        [*_, line] = await judge.store.side_lines(judge.evaluator_record, CERTIFICATES)
        content = json.loads(line)
        if forgery != "another home's key":
            content["signature"] = {"code": sign(_Content(content["certificate"]), own).code}
            content["certificate"]["low"] = 0.99
        if forgery == "no signature":
            content["signature"] = {}
        async with judge.store.transaction() as change:
            change.append_lines(judge.evaluator_record, CERTIFICATES, [json.dumps(content)])
        assert not await is_certified(judge.store, judge.evaluator_record, own)
        (says,) = await judge_warnings(judge, await gain_of(bench, judge, 60), own)
    assert says == (
        "The judge 'strict' has a certificate that this home did not sign, so it may be forged: a "
        "gain in its scores may be none that people see."
    )


async def test_an_old_certificate_that_is_added_again_does_not_take_the_place_of_a_newer_one(
    tmp_path: Path,
) -> None:
    async with open_judged(tmp_path) as (_, judge):
        own = home(tmp_path)
        await certify(judge, own, 0.9)
        later = "2026-02-01T00:00:00Z"
        await certify(judge, own, 0.4, state="not_reachable", issued_at=later)
        await certify(judge, own, 0.9)
        certificates = await read_certificates(judge.store, judge.evaluator_record, own)
    assert (certificates.agreements, certificates.is_any_unsigned) == ((), False)
