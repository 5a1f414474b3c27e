"""Kinds of evaluators from other distributions."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, cast

import pytest

from kiln_mcp.evaluators import kinds as kinds_room
from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorDefinition,
    EvaluatorKind,
    Score,
    Skipped,
)
from kiln_mcp.evaluators.registry import (
    EvaluatorExtension,
    discover_kinds,
    make_evaluator,
    with_extensions,
)
from kiln_mcp.llm import Engine
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from storage import Eval, EvalConfig, EvalOutputScore, Task

EXTENSION = '''
from dataclasses import dataclass
from typing import Literal

from kiln_mcp.evaluators.checks import Check, CheckResult
from kiln_mcp.evaluators.evaluator import EvaluatorDefinition, EvaluatorKind


class WordCount(EvaluatorDefinition):
    """The output has at most so many words."""

    type: Literal["acme.word_count"]
    most: int


@dataclass(frozen=True, slots=True)
class WordCounter(Check):
    settings: WordCount

    async def check(self, case):
        count = len(case.final_message.split())
        return CheckResult(count <= self.settings.most, f"{count} words")


def open_counter(record):
    return WordCounter(WordCount.model_validate(record.properties.model_dump()))


KIND = EvaluatorKind("acme.word_count", open_counter, WordCount)
'''


class WordCount(EvaluatorDefinition):
    """The output has at most so many words."""

    type: Literal["acme.word_count"]
    most: int


@dataclass(frozen=True, slots=True)
class WordCounter(Check):
    settings: WordCount

    async def check(self, case: Case) -> CheckResult | Skipped:
        count = len(case.final_message.split())
        return CheckResult(count <= self.settings.most, f"{count} words")


def open_counter(record: EvalConfig) -> WordCounter:
    return WordCounter(WordCount.model_validate(record.properties.model_dump()))


KIND = EvaluatorKind("acme.word_count", open_counter, WordCount)
EVAL = Eval(
    name="Right",
    output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
    eval_set_filter_id="tag::test",
)
CONTEXT = EvaluationContext(
    cast("Engine", None), EVAL, Task(name="Answer", instruction="Answer."), "test"
)


@dataclass
class Point:
    """An entry point that yields an object, or raises it."""

    name: str
    yields: object
    value: str = "acme:KIND"

    def load(self) -> object:
        if isinstance(self.yields, BaseException):
            raise self.yields
        return self.yields


async def test_a_kind_of_an_extension_is_stored_and_scores_outputs() -> None:
    kinds = with_extensions([Point("good", KIND)])
    made = await make_evaluator(None, WordCount(type="acme.word_count", most=2), "any")
    record = EvalConfig.model_validate(json.loads(made.model_dump_json()))
    assert record.name == "acme word count"
    evaluator = kinds.open(record)
    assert (evaluator.model, evaluator.calls_per_item) == (None, 0)
    short = await evaluator.evaluate(Case("x", "two words"), CONTEXT)
    long = await evaluator.evaluate(Case("x", "now three words"), CONTEXT)
    assert short == Evaluation({"right": Score(1.0)}, "2 words")
    assert long == Evaluation({"right": Score(0.0)}, "3 words")


def test_a_kind_is_added_by_its_module_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "room_of_kinds"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "word_count.py").write_text(EXTENSION, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    kinds = discover_kinds(import_module("room_of_kinds"))
    assert [(name, kind.name) for name, kind in kinds.items()] == [("acme.word_count",) * 2]


def test_every_module_of_the_room_offers_a_kind() -> None:
    modules = {file.stem for file in Path(kinds_room.__path__[0]).glob("[!_]*.py")}
    assert len(with_extensions([]).by_name) == len(modules) >= 9


async def test_an_evaluator_whose_extension_is_not_installed_refuses_to_score() -> None:
    record = await make_evaluator("Short", WordCount(type="acme.word_count", most=2), "any")
    with pytest.raises(EvalError, match=r"'Short' is of kind acme\.word_count.*Install"):
        await with_extensions([]).open(record).evaluate(Case("x", "y"), CONTEXT)


def test_feedback_is_kept_beside_the_verdict_by_score() -> None:
    scores = {"right": Score(1.0, "It names Paris."), "style": Score(3.0)}
    evaluation = Evaluation(scores, "Good.")
    assert evaluation.values == {"right": 1.0, "style": 3.0}
    assert evaluation.texts == {"chain_of_thought": "Good.", "right_feedback": "It names Paris."}


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (Point("broken", RuntimeError("x" * 999)), "RuntimeError: xxx"),
        (Point("leaves", SystemExit(3)), "SystemExit: 3"),
        (Point("text", "no kind"), "it names a str, not an EvaluatorKind"),
        (Point("double", EvaluatorKind("contains", open_counter)), "a kind 'contains' already"),
        (Point("plain", EvaluatorKind("words", open_counter)), "not named <vendor>.<kind>"),
        (
            Point("other", EvaluatorKind("acme.other", open_counter, WordCount)),
            "no type: Literal['acme.other']",
        ),
    ],
)
def test_a_kind_that_cannot_be_used_is_named_and_the_others_are_offered(
    point: EvaluatorExtension, reason: str
) -> None:
    kinds = with_extensions([point, Point("good", KIND)])
    assert list(kinds.by_name) == [*with_extensions([]).by_name, "acme.word_count"]
    [problem] = kinds.problems
    assert f"'{point.name}'" in problem
    assert reason in problem
    assert len(problem) < 500


@pytest.mark.slow
def test_an_installed_kind_is_an_argument_of_create_evaluator(tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text(EXTENSION, encoding="utf-8")
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(
        "[kiln_mcp.evaluators]\nword_count = acme:KIND\n", "utf-8"
    )
    script = (
        "import json; from kiln_mcp.evals.service import create_evaluator as tool; "
        "print(json.dumps(tool.input_schema))"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "acme.word_count" in answer.stdout
    assert "so many words" in answer.stdout
