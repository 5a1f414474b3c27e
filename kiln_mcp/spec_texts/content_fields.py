"""The fields of Kiln's format, rendered from a spec's clauses and examples, and read back.

Others edit the fields, so they say what a spec demands. What they cannot say (ids, who said a
clause, which clause decides an example) is kept beside them, and goes with unchanged texts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kiln_mcp.spec_texts.example_text import ExampleText, plain, read_examples, write_examples
from kiln_mcp.spec_texts.sentences import sentences
from kiln_mcp.spec_texts.spec_content import (
    Clause,
    ExampleVerdict,
    Origin,
    Polarity,
    SpecContent,
    SpecExample,
)
from kiln_mcp.spec_texts.spec_kinds import FORMS, SpecKind
from storage import NO_EXAMPLES

FROM_FILE: Final = Origin("file")
"""The origin of what others wrote into the fields."""
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_DEFINITION: Final = re.compile(r"^(?:Not )?\"[^\"]+\" means:")
_WISH: Final = re.compile(r"\b(?:must|should|shall|(?:has|have|needs?) to)\b", re.IGNORECASE)


def fields_from(content: SpecContent) -> dict[str, str]:
    """Return the fields of a spec's clauses and examples, by Kiln's field names.

    Passing examples of a kind that has no field for them are left out.
    """
    form = FORMS[content.kind]
    texts = [clause.text for clause in content.clauses]
    fields = {form.core: _as_text(texts[:1]) if form.detail != form.core else _as_text(texts)}
    if form.detail != form.core:
        fields[form.detail] = _as_list(texts[1:]) if texts[1:] else fields[form.core]
    for name, verdict in ((form.good, ExampleVerdict.PASS), (form.bad, ExampleVerdict.FAIL)):
        if name is not None:
            fields[name] = write_examples(
                [
                    ExampleText(example.output, example.input, example.reason)
                    for example in content.examples
                    if example.verdict is verdict
                ]
            )
    return {name: fields[name] for name in form.fields if fields.get(name)}


def content_from(
    kind: SpecKind,
    name: str,
    fields: Mapping[str, str],
    previous: SpecContent | None = None,
) -> SpecContent:
    """Return the clauses and examples that fields hold, also those that others wrote.

    Args:
        kind: The spec's kind.
        name: Its name.
        fields: Its fields, as Kiln's format holds them.
        previous: What was known of it; clauses and examples whose texts are unchanged keep their
            ids, origins and what else the fields do not hold.
    """
    form = FORMS[kind]
    older = previous or SpecContent(kind, name, ())
    if previous is not None and has_fields(replace(older, kind=kind), fields):
        return replace(older, kind=kind, name=name)
    names = dict.fromkeys([form.core, form.detail])
    entries = [entry for field in names for entry in _entries(fields.get(field, ""), older)]
    clauses = _clauses(kind, dict.fromkeys(entries), older.clauses)
    examples = [
        example
        for field, verdict in ((form.good, ExampleVerdict.PASS), (form.bad, ExampleVerdict.FAIL))
        for example in _examples(fields, field, verdict, older.examples)
    ]
    examples_with_ids = _with_ids(examples, older.examples, {clause.id for clause in clauses})
    return SpecContent(kind, name, clauses, examples_with_ids, tuple(older.assumptions))


def has_fields(content: SpecContent, fields: Mapping[str, str]) -> bool:
    """Return whether fields say exactly what a content says."""
    form = FORMS[content.kind]
    own = fields_from(content)
    names = {form.core, form.detail, form.good or form.core, form.bad or form.core}
    return all(_text_of(own, name) == _text_of(fields, name) for name in names)


def polarity_of(kind: SpecKind, text: str) -> Polarity:
    """Return whether somebody's words describe what has to be, or what must not be.

    A prohibition in its own words ("It does not insult.") describes what has to be. An issue
    describes a fault, unless its words say what has to be or give the meaning of a word.
    """
    if kind is SpecKind.ISSUE and not _WISH.search(text) and not _DEFINITION.match(text):
        return Polarity.MUST_NOT
    return Polarity.MUST


def one_line(text: str) -> str:
    """Return the text of a clause as it is kept: one line."""
    return " ".join(text.split())


def next_id(prefix: str, ids: Iterable[str]) -> str:
    """Return the first id above all that are taken: `c3` after `c1` and `c2`."""
    numbers = [int(text) for id in ids if (text := id.removeprefix(prefix)).isdecimal()]
    return f"{prefix}{max(numbers, default=0) + 1}"


def _as_text(texts: Sequence[str]) -> str:
    """Return one clause as it is, and several, or one that would be split, as a list."""
    if len(texts) == 1 and _is_single(texts[0]):
        return texts[0]
    return _as_list(texts)


def _as_list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _is_single(text: str) -> bool:
    return sentences(text) == (text,)


def _entries(text: str, older: SpecContent) -> Iterator[str]:
    """Return the clauses of a field: its list entries, and the sentences outside of lists."""
    older_texts = {clause.text for clause in older.clauses}
    entry = ""
    for line in text.split("\n"):
        bullet = _BULLET.match(line)
        if bullet is None and entry and line.startswith("  ") and line.strip():
            entry = f"{entry} {line.strip()}"
            continue
        if entry:
            yield one_line(entry)
        entry = line[bullet.end() :] if bullet else ""
        if bullet is None:
            sentence = one_line(line)
            yield from (sentence,) if sentence in older_texts else map(one_line, sentences(line))
    if entry:
        yield one_line(entry)


def _clauses(kind: SpecKind, entries: Iterable[str], older: Sequence[Clause]) -> tuple[Clause, ...]:
    by_text = {clause.text: clause for clause in older}
    ids = [clause.id for clause in older]
    clauses: list[Clause] = []
    for text in entries:
        clause = by_text.get(text)
        if clause is None:
            clause = Clause(next_id("c", ids), text, polarity_of(kind, text), FROM_FILE)
            ids.append(clause.id)
        clauses.append(clause)
    return tuple(clauses)


def _examples(
    fields: Mapping[str, str],
    field: str | None,
    verdict: ExampleVerdict,
    older: Sequence[SpecExample],
) -> Iterator[SpecExample]:
    """Return the examples of a verdict; those of a kind without a field for it are kept."""
    if field is None:
        yield from (example for example in older if example.verdict is verdict)
        return
    text = fields.get(field, "")
    if text.strip() == NO_EXAMPLES:
        return
    by_key = {_key(example): example for example in older}
    for entry in read_examples(text):
        example = SpecExample("", entry.output, verdict, FROM_FILE, entry.input, "", entry.reason)
        yield by_key.get(_key(example), example)


def _key(example: SpecExample) -> tuple[str, str, str, str]:
    return example.verdict, plain(example.input), plain(example.output), plain(example.reason)


def _with_ids(
    examples: Sequence[SpecExample], older: Sequence[SpecExample], clauses: set[str]
) -> tuple[SpecExample, ...]:
    """Return examples with ids, without the names of clauses that are gone."""
    ids = [example.id for example in older]
    examples_with_ids: list[SpecExample] = []
    for example in examples:
        id = example.id or next_id("e", ids)
        ids.append(id)
        clause = example.clause if example.clause in clauses else ""
        examples_with_ids.append(replace(example, id=id, clause=clause))
    return tuple(examples_with_ids)


def _text_of(fields: Mapping[str, str], name: str) -> str:
    text = plain(fields.get(name, ""))
    return "" if text == NO_EXAMPLES else text
