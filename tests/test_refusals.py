"""Every refusal fills the slots of its sentence, and shows no more than excerpts."""

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from storage.errors import NextStep, Refusal

ROOT = Path(__file__).parents[1]
PACKAGES = ("kiln_mcp", "agent", "storage")


def refusals() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of Refusal with the place where it stands."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Refusal"):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_refusal_has_a_literal_sentence_whose_slots_are_its_values() -> None:
    for place, call in refusals():
        assert call.args, place
        sentence = call.args[0]
        assert isinstance(sentence, ast.Constant), f"{place}: name the values in slots"
        assert isinstance(sentence.value, str), place
        slots = {name for _, name, _, _ in Formatter().parse(sentence.value) if name}
        values = {keyword.arg for keyword in call.keywords} - {"next"}
        assert slots == values, place


def test_a_refusal_shows_an_excerpt_of_each_value() -> None:
    error = Refusal("No eval '{name}'. There are: {names}.", name="x" * 500, names=["a", "b"])
    assert len(str(error)) < 250
    assert str(error).endswith("There are: a, b.")


def test_a_refusal_says_which_call_helps() -> None:
    error = Refusal(
        "There is no eval.", next=[NextStep(tool="create_evaluator", reason="make one")]
    )
    assert str(error) == "There is no eval. Next: create_evaluator: make one."


def test_a_value_cannot_add_slots() -> None:
    assert str(Refusal("No '{name}'.", name="{other}")) == "No '{other}'."


def test_a_missing_value_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        Refusal("No '{name}'.")


def test_a_long_sentence_of_ours_is_shown_whole() -> None:
    sentence = "Nothing was done. " + "This is why it was not done. " * 20
    step = NextStep(tool="create_evaluator", reason="make one")
    assert str(Refusal(sentence, next=[step])).startswith(sentence)
