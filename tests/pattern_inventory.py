"""Finds the regular expressions of our own packages, and how each is used.

A pattern that is made at run time, of words that are known only then, is yielded by `made_later`.
"""

import ast
import importlib
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("storage", "kiln_mcp", "agent")
METHODS: Final = frozenset(
    {"search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
)


@dataclass(frozen=True, slots=True)
class Use:
    """A pattern with a way in which it is used."""

    place: str
    pattern: "re.Pattern[str]"
    method: str

    def run(self, text: str) -> None:
        """Use the pattern on a text as the code does."""
        if self.method in {"match", "fullmatch", "search"}:
            getattr(self.pattern, self.method)(text)
        else:
            for _ in self.pattern.finditer(text):
                pass


@dataclass(frozen=True, slots=True)
class Source:
    """A module of ours, as text."""

    name: str
    file: str
    tree: ast.Module

    @property
    def uses_re(self) -> bool:
        """Whether it names the module `re`."""
        return any(isinstance(node, ast.Name) and node.id == "re" for node in ast.walk(self.tree))

    def imported(self) -> Iterator[tuple[str, str, str]]:
        """Yield the names that it imports: its own, the module and the name there."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield alias.asname or alias.name, node.module, alias.name


def sources() -> Iterator[Source]:
    """Yield the modules of our packages."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT)
            name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            yield Source(name, str(path), ast.parse(file.read_text(encoding="utf-8")))


def uses() -> Iterator[Use]:
    """Yield every use of a pattern that is known when a module is imported."""
    texts = list(sources())
    constants = dict[tuple[str, str], tuple["re.Pattern[str]", ...]]()
    for source in texts:
        if source.uses_re:
            module = importlib.import_module(source.name)
            for name, value in vars(module).items():
                constants[source.name, name] = tuple(_patterns_in(value))
            yield from _of_calls(source, module)
    found = [use for source in texts for use in _of_constants(source, constants)]
    yield from found
    used = {use.pattern for use in found}
    for (name, constant), patterns in constants.items():  # in tables
        for pattern in patterns:
            if pattern not in used:
                yield Use(f"{name}.{constant}", pattern, "finditer")


def _of_constants(
    source: Source, constants: Mapping[tuple[str, str], tuple["re.Pattern[str]", ...]]
) -> Iterator[Use]:
    names = {name: (source.name, name) for _, name in constants}
    names |= {own: (module, name) for own, module, name in source.imported()}
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id=constant), attr=method) if method in METHODS:
                for pattern in constants.get(names.get(constant, ("", "")), ()):
                    yield Use(f"{source.file}:{node.lineno}", pattern, method)
            case _:
                pass


def _of_calls(source: Source, module: ModuleType) -> Iterator[Use]:
    for call in calls_of_re(source.tree):
        pattern = _evaluated(call, module)
        if pattern is not None and isinstance(call.func, ast.Attribute):
            yield Use(f"{source.file}:{call.lineno}", pattern, call.func.attr)


def _patterns_in(value: object) -> Iterator["re.Pattern[str]"]:
    """Yield the patterns of text in a constant of a module, which may be a table."""
    if isinstance(value, re.Pattern):
        pattern = cast("re.Pattern[Any]", value)
        if isinstance(pattern.pattern, str):
            yield pattern
    elif isinstance(value, Mapping):
        for part in cast("Mapping[object, object]", value).values():
            yield from _patterns_in(part)
    elif isinstance(value, tuple | list):
        for part in cast("Sequence[object]", value):
            yield from _patterns_in(part)


def made_later() -> Iterator[str]:
    """Yield every pattern that is made of what is known at run time only, with its file."""
    for source in sources():
        if source.uses_re:
            module = importlib.import_module(source.name)
            for call in calls_of_re(source.tree):
                if _evaluated(call, module) is None:
                    yield f"{source.file}: {ast.unparse(call.args[0])}"


def calls_of_re(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls of functions of `re` that take a pattern, but for constants of modules."""
    constants = {node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=attribute)):
                if attribute in METHODS | {"compile"} and node not in constants:
                    yield node
            case _:
                pass


def _evaluated(call: ast.Call, module: ModuleType) -> "re.Pattern[str] | None":
    names = vars(module)
    try:
        flags = 0
        for argument in [*call.args[1:], *(k.value for k in call.keywords if k.arg == "flags")]:
            code = compile(ast.Expression(argument), "flags", "eval")
            try:
                value = eval(code, names)
            except NameError:
                continue  # the text
            flags |= value if isinstance(value, re.RegexFlag) else 0
        pattern = eval(compile(ast.Expression(call.args[0]), "pattern", "eval"), names)
    except NameError:
        return None
    return re.compile(pattern, flags) if isinstance(pattern, str) else None


LENGTH: Final = 100_000
MOST_CPU_S: Final = 2.0
REPEATED: Final = (
    *("a", "1", " ", "\n", "\t", "<", "_", "-", "'", '"', "\\", "{", "/", ".", ",", "[", ":", ";"),
    *(
        "@",
        "=",
        "é",
        '\\"',
        "a ",
        "1.",
        "1 ",
        "a.",
        "a, ",
        "://a",
        "a://",
        "key=a",
        ". ",
        "- ",
        "</a",
    ),
    *("one two ", "e.g. ", "```json\n", "{{ ", "\n\n", "x=", "“a", "sk-", "## Example 1\nInput: "),
)


class _TooSlow(BaseException):
    """The pattern has used up its time."""


def texts_for(pattern: str, length: int) -> Iterator[str]:
    """Yield long texts that are nasty for a pattern: its own words, and what most patterns hold."""
    words = list(dict.fromkeys(re.findall(r"[A-Za-z]{3,}", pattern)))[:25]
    for unit in [*REPEATED, *words, *(f"{word} " for word in words)]:
        yield unit * (length // len(unit)) + "\0!"


def distinct_uses() -> Iterator[Use]:
    """Yield each pattern once for every way in which time is spent on it."""
    seen = set[tuple[re.Pattern[str], str]]()
    for use in uses():
        way = use.method if use.method in {"match", "fullmatch", "search"} else "finditer"
        if (use.pattern, way) not in seen:
            seen.add((use.pattern, way))
            yield use


def slow_uses() -> Iterator[str]:
    """Yield the uses that take longer than their time, each with its text; POSIX alone."""
    for use in distinct_uses():
        for short, long in text_pairs(use.pattern.pattern):
            if takes_too_long(use, short, long):
                yield f"{use.place}: {use.pattern.pattern!r} on {long[:30]!r}…"


def text_pairs(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield each nasty text of a pattern at a tenth of the length, and whole."""
    return zip(texts_for(pattern, LENGTH // 10), texts_for(pattern, LENGTH), strict=True)


def takes_too_long(use: Use, short: str, long: str) -> bool:
    """Say whether a long text takes more than its time, after the same text at a tenth.

    Work that grows with the square of a text takes 10⁸ steps at a tenth of its length: far
    longer than the 10 ms after which the whole text is tried.
    """
    return _takes_longer(use, short, MOST_CPU_S / 200) and _takes_longer(use, long, MOST_CPU_S)


def _takes_longer(use: Use, text: str, seconds: float) -> bool:
    handler = signal.signal(signal.SIGVTALRM, _stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            use.run(text)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TooSlow:  # which may come while the timer is stopped
        return True
    finally:
        signal.signal(signal.SIGVTALRM, handler)
    return False


def _stop(_signal: int, _frame: object) -> None:
    raise _TooSlow


if __name__ == "__main__":
    for slow in slow_uses():
        sys.stdout.write(f"{slow}\n")
