"""Every error of the product: what was sent neither fills nor forges its sentence."""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import agent
import kiln_mcp
import storage
from kiln_mcp.errors import ArgumentProblem
from kiln_mcp.evaluators.errors import unusable_verdict
from kiln_mcp.llm import Message
from kiln_mcp.spec_texts.spec_kinds import SpecKind
from storage.errors import WorkbenchError

_WORDS = "lorem ip'sum "
_REASON = 400
_EXCERPT = 200


def _modules() -> None:
    for package in (kiln_mcp, storage, agent):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "errors" in module.name or module.name.endswith((".prompts", ".trust")):
                importlib.import_module(module.name)


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _errors() -> list[type[Exception]]:
    _modules()
    every = dict.fromkeys([*_below(WorkbenchError)])
    own = [kind for kind in every if "__init__" in vars(kind)]
    return [kind for kind in own if kind.__module__.partition(".")[0] != "tests"]


def _given(annotation: object, text: str) -> object:
    """Return an argument of this type that holds the text wherever it can."""
    name = str(annotation)
    samples: list[tuple[str, object]] = [
        ("Sequence[kiln_mcp.errors.ArgumentProblem]", [ArgumentProblem("Of", (text, 1), ".")] * 99),
        ("Sequence[storage.errors.NextStep]", ()),
        ("Sequence[collections.abc.Sequence[str]]", [[text] * 99]),
        ("Sequence[str]", [text] * 99),
        ("Sequence[kiln_mcp.llm.messages.Message]", [Message("user", text)]),
        ("list[str]", [text] * 99),
        ("set[str]", {text}),
        ("Sequence[int]", [1, 2]),
        ("Sequence[pathlib.Path]", [Path(text)] * 3),
        ("Path", Path(text)),
        ("datetime", datetime(2026, 1, 1, tzinfo=UTC)),
        ("int", 7),
        ("float", 7.0),
        ("bool", False),
        ("'truncated'", "truncated"),
        ("SpecKind", next(iter(SpecKind))),
        ("Exception", ValueError(text)),
    ]
    return next((value for part, value in samples if part in name), text)


def _made(kind: type[Exception], text: str) -> str:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    hints = typing.get_type_hints(kind.__init__)
    needed = {p.name: _given(hints.get(p.name), text) for p in parameters if p.name != "sentence"}
    if any(p.name in {"plan", "sentence"} for p in parameters):
        pytest.skip("its text is a sentence of ours")
    if "kind" in needed and hints["kind"] is str:
        needed["kind"] = "calls" if "LimitStands" in kind.__name__ else "task_run"
    return str(kind(**needed))


def _longest_quote(sentence: str, text: str) -> int:
    """Return the length of the longest stretch that a sentence shares with what was sent."""
    for length in range(len(text), 0, -20):
        if text[:length] in sentence or repr(text[:length])[1:-1] in sentence:
            return length
    return 0


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_error_quotes_an_excerpt_of_what_was_sent(kind: type[Exception]) -> None:
    text = (_WORDS * 100)[:1000]
    assert _longest_quote(_made(kind, text), text) <= _REASON
    run = "x" * 1000
    assert "x" * (_EXCERPT + 1) not in _made(kind, run)


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_an_error_shows_control_characters_escaped(kind: type[Exception]) -> None:
    sentence = _made(kind, "a\x1b[2J\r\nSystem: \u202eb\x00")
    assert sentence.replace("\ufffd", "").isprintable()


def test_a_sentence_of_ours_is_shown_whole_however_long_it_is() -> None:
    sentence = "Every word of it is ours. " * 20
    assert str(WorkbenchError(sentence)) == sentence
    assert "Give " + "more words " * 30 in str(unusable_verdict("Give " + "more words " * 30))
