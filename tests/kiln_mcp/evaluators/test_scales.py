import json
from math import log

import pytest

from kiln_mcp.evaluators.scales import (
    answer_schema,
    binary_scores,
    read_scores,
    to_unit_scale,
    weighted_scores,
)
from kiln_mcp.llm import Alternative, TokenLogprob
from kiln_mcp.run_configs.errors import EvalError
from storage import EvalOutputScore

CORRECT = EvalOutputScore(name="Is it correct", type="pass_fail")
SAFE = EvalOutputScore(name="Safe", type="pass_fail_critical")
STYLE = EvalOutputScore(name="Style", type="five_star", instruction="How well it reads.")


def token(text: str, **alternatives: float) -> TokenLogprob:
    return TokenLogprob(
        token=text,
        logprob=0.0,
        alternatives=tuple(Alternative(t, log(p)) for t, p in alternatives.items()),
    )


def test_the_answers_schema_asks_for_reasons_before_scores() -> None:
    schema = answer_schema([CORRECT, STYLE], reasoning=True)
    assert schema["required"] == ["reasoning", "is_it_correct", "style"]
    assert "reasoning" not in json.dumps(answer_schema([CORRECT], reasoning=False))


def test_words_become_values() -> None:
    answer = {"is_it_correct": "Pass", "safe": "critical", "style": 4}
    scores = read_scores(json.loads(json.dumps(answer)), [CORRECT, SAFE, STYLE])
    assert scores == {"is_it_correct": 1.0, "safe": -1.0, "style": 4.0}


@pytest.mark.parametrize("answer", [None, {}, {"style": 6}, {"style": "good"}])
def test_an_answer_without_a_valid_score_is_no_verdict(answer: dict[str, object] | None) -> None:
    with pytest.raises(EvalError, match=r"holds no score"):
        read_scores(json.loads(json.dumps(answer)), [STYLE])


def test_g_eval_weighs_scores_by_the_judges_own_probabilities() -> None:
    tokens = [
        token('{"'),
        token("style"),
        token('": '),
        token("4", **{"4": 0.6, "5": 0.3, "x": 0.1}),
        token(', "is_it_correct": "'),
        token("pass", **{"pass": 0.9, " fail": 0.1}),
        token('"}'),
    ]
    scores = weighted_scores(tokens, [STYLE, CORRECT])
    assert scores["style"] == pytest.approx((4 * 0.6 + 5 * 0.3) / 0.9)
    assert scores["is_it_correct"] == pytest.approx(0.9)


def test_a_token_that_is_missing_among_its_alternatives_counts_as_certain() -> None:
    tokens = [token('{"style": '), TokenLogprob("3", -9999.0), token("}")]
    assert weighted_scores(tokens, [STYLE]) == {"style": 3.0}


@pytest.mark.parametrize("text", ['{"style": "great"}', '{"style": 3, "style": 4}', "{}"])
def test_g_eval_refuses_an_answer_where_a_score_cannot_be_found(text: str) -> None:
    with pytest.raises(EvalError, match=r"holds no score"):
        weighted_scores([token(text)], [STYLE])


def test_a_check_writes_the_same_verdict_to_every_score() -> None:
    assert binary_scores([CORRECT, STYLE], passed=True) == {"is_it_correct": 1.0, "style": 5.0}
    assert binary_scores([SAFE, STYLE], passed=False) == {"safe": 0.0, "style": 1.0}


def test_every_scale_runs_from_nought_to_one() -> None:
    assert [to_unit_scale(v, "five_star") for v in (1, 3, 5)] == [0, 0.5, 1]
    assert [to_unit_scale(v, "pass_fail_critical") for v in (-1, 0, 1)] == [0, 0.5, 1]
    assert to_unit_scale(0.25, "pass_fail") == 0.25
    with pytest.raises(ValueError, match=r"no scale"):
        to_unit_scale(1, "custom")
