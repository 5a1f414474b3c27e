"""Check the words of names, docstrings and docs; print each fault and exit with 1 if there is one.

Of tests the sentences are checked, and not the names.

Faults: a name that says how a thing came about instead of what it is, a module named by a
gerund, a module whose docstring begins with one, a phrase that plain English does not use, and a
sentence of more than 40 words in a docstring or in the documentation.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = ("kiln_mcp", "agent", "storage")
DOCUMENTS: Final = ("README.md", "CONTRIBUTING.md", "docs/*.md", "benchmarks/**/README.md")
LONGEST_SENTENCE: Final = 40
BANNED: Final = frozenset(
    """
    about again alone already also always any anything apart away before begun both bought broken
    brought built caught chosen come dealt drawn driven each elsewhere enough fallen far few
    forgotten found given gone got heard held here hidden kept known least left lent less lost
    made meant more most much never none now once one ones others paid said seen sent shown
    sought spent spoken still struck taken then there thought thrown thus together told two
    understood what whatever whole whose won written
    """.split()  # noqa: SIM905 - a list would take a page
)
"""Irregular participles, adverbs and pronouns: none says what a thing is, alone as its name."""

OWN_WORDS: Final = frozenset("aspect desk ground".split())  # noqa: SIM905
"""Words of our own for things that the field names: criterion, job client, inputs."""

PLAIN: Final = frozenset(
    """
    accepted bed breed cached cancelled changed closed created deed deleted embed embedded
    enabled expected failed feed finished greed merged need passed refused removed required saved
    seed shared shed skipped speed started structured trusted updated weed weighted
    """.split()  # noqa: SIM905
)
"""Words in -ed that are nouns, or that the field uses alone: counts, flags and states."""

FORMAT: Final = frozenset({"confirmed", "drawn", "left", "starred"})
"""Keys of files that users have; `left` is a parameter of Jinja."""

PHRASES: Final = re.compile(
    r"""
    \b(?: anew | lest | thereof | whereupon | thereby | henceforth | in\ one\ go | as\ it\ were
    | half\ a\ character | of\ several\ who | so\ much\ more\ for | (?:take|took|taken)\ back
    | (?:None|0|"")\ where\ (?:there|no|nothing|none|it) | where\ there\ (?:is|are)\ none
    | left\ aside | over\ and\ over | again\ and\ again | whoever | of\ whichever )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Phrases of no technical text; write 'again', 'so that … not', 'undo', 'if there is none'."""

_PHRASE: Final = re.compile(
    r"(?P<head>[a-z]+)_(?:again|as|away|back|before|by|for|from|in|of|on|out|to|up|with)(?:_|$)"
)
_STATE: Final = re.compile(r"[A-Z][A-Z_]+")
_CLASS: Final = re.compile(r"([A-Z][a-z]+){2,}")


def says_nothing(name: str) -> bool:
    """Return whether a name is a participle, an adverb or a pronoun instead of a noun or a verb."""
    word = name.strip("_")
    if name in FORMAT or name == "_" or _CLASS.fullmatch(word):
        return False
    if word.casefold().startswith(("held_out", "created_by")):
        return False
    if match := _PHRASE.match(word.casefold()):
        return _is_empty(match["head"])
    return "_" not in word and _is_empty(word.casefold()) and not _STATE.fullmatch(name)


def _is_empty(word: str) -> bool:
    return word in BANNED | OWN_WORDS or (word.endswith("ed") and word not in PLAIN)


_GERUND: Final = re.compile(r"(?!Everything|Training|Pending|String)[A-Z][a-z]+ing\b")
_FENCE: Final = re.compile(r"```.*?```", re.DOTALL)
_SENTENCE_END: Final = re.compile(r"[.!?:;][\"'*)\]`]*\s+")


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each name that a module stores, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case _:
                pass


def docstrings_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each docstring of a module, with the line of what it describes."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


def long_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of more than 40 words; code, tables and headings are left out."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.) )", _FENCE.sub("", text)):
        if paragraph.strip("\n").startswith(("|", "    ")):
            continue
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            if len(sentence.split()) > LONGEST_SENTENCE:
                yield sentence


def phrases_in(path: Path, text: str) -> Iterator[str]:
    """Yield each phrase of a file that plain English does not use."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in PHRASES.finditer(line):
            yield f"{path}:{number}: '{match.group()}' is no plain English; say it another way."


def faults_of_module(path: Path) -> Iterator[str]:
    """Yield what is wrong with the words of a Python file of the product."""
    if path.stem.endswith("ing"):
        yield f"{path}: the module is named by a gerund; name it by a noun."
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    yield from faults_of_texts(path, source, tree)
    for line, name in names_in(tree):
        if says_nothing(name):
            yield f"{path}:{line}: '{name}' does not say what it is; name it by its noun."


def faults_of_texts(path: Path, source: str, tree: ast.Module) -> Iterator[str]:
    """Yield what is wrong with the sentences of a Python file."""
    yield from phrases_in(path, source)
    if _GERUND.match(ast.get_docstring(tree) or ""):
        yield f"{path}:1: the docstring begins with a gerund; begin with a noun or an imperative."
    for line, text in docstrings_in(tree):
        for sentence in long_sentences(text):
            yield f"{path}:{line}: {len(sentence.split())} words in a sentence: {sentence[:70]}…"


def faults() -> Iterator[str]:
    """Yield every fault of the project, file by file."""
    for package in PACKAGES:
        for path in sorted(Path(package).rglob("*.py")):
            yield from faults_of_module(path)
    for path in sorted(Path("tests").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        yield from faults_of_texts(path, source, ast.parse(source))
    for pattern in DOCUMENTS:
        for path in sorted(Path().glob(pattern)):
            text = path.read_text(encoding="utf-8")
            yield from phrases_in(path, text)
            for sentence in long_sentences(text):
                yield f"{path}: {len(sentence.split())} words in a sentence: {sentence[:70]}…"


if __name__ == "__main__":
    lines = list(faults())
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(1 if lines else 0)
