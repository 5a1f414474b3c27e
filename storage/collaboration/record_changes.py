"""Changes of records and their fields, and a summary of them in words."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from storage.records.names import TYPED, shown_name_of
from storage.text.excerpts import excerpt, with_remainder
from storage.text.json_text import same

Document = dict[str, JsonValue]

_NOUNS = {
    "task_run": ("run", "runs"),
    "task_run_config": ("run config", "run configs"),
    "eval_config": ("evaluator", "evaluators"),
    "eval_run": ("eval result", "eval results"),
    "eval": ("eval", "evals"),
    "eval_input": ("eval input", "eval inputs"),
    "spec": ("spec", "specs"),
    "dataset_split": ("dataset split", "dataset splits"),
    "finetune": ("fine-tune", "fine-tunes"),
    "feedback": ("piece of feedback", "pieces of feedback"),
}
CONFLICT = "question"
"""The kind of a conflict in summaries. People see a conflict as a question."""
_MOST_PARTS = 5
_MOST_FIELDS = 12
_DEEPEST = 100
LONGEST_EXCERPT = 300
_BEFORE_DIFFERENCE = 60
_PROGRAM_KEYS = frozenset(
    {"v", "id", "created_at", "created_by", "model_type", "path", "type", "source"}
)
"""Keys of a part of a record that a program sets."""
_FIELDS: dict[tuple[str, ...], str] = {
    ("output", "rating"): "rating",
    ("output", "rating", "value"): "overall rating",
    ("output", "rating", "requirement_ratings"): "rating",
    ("output", "output"): "output",
    ("repaired_output", "output"): "repaired output",
    ("current_config_id",): "default judge",
    ("default_run_config_id",): "default run config",
}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a record before and after a change; None if it did not exist."""

    field: str
    old: JsonValue
    new: JsonValue


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A record before and after a change; None if it did not exist."""

    kind: str
    old: Document | None
    new: Document | None

    @property
    def verbs(self) -> tuple[str, ...]:
        """What was done: add, delete, rate, repair, tag, rename or change; ask or decide."""
        if self.old is None or self.new is None:
            words = ("ask", "decide") if self.kind == CONFLICT else ("add", "delete")
            return (words[self.old is not None],)
        fields = [change.field for change in field_changes(self.old, self.new)]
        return tuple(dict.fromkeys(map(self._verb_of, fields))) or ("change",)

    def _verb_of(self, field: str) -> str:
        words = field.split() if self.kind == "task_run" else []
        if {"repair", "repaired"} & set(words):
            return "repair"
        if "rating" in words:
            return "rate"
        return {"tags": "tag", "name": "rename"}.get(field, "change")


def document_of(content: bytes | None) -> Document | None:
    """Return a record's file as an object: empty if it is no object, None if there is no file."""
    if content is None:
        return None
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or _is_too_deep(content, cast("JsonValue", document)):
        return {}
    return cast("Document", document)


def _is_too_deep(content: bytes, document: JsonValue) -> bool:
    """Return whether values are nested deeper than in any record, and than we can walk."""
    if content.count(b"{") + content.count(b"[") <= _DEEPEST:
        return False
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def as_text(value: JsonValue) -> str:
    """Return a value as people read it: JSON, with whole numbers without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def field_texts(changes: Sequence[FieldChange]) -> list[str]:
    """Return the first changes as "name: old → new", and how many more there are."""
    lines = [
        excerpt(f"{change.field}: {_side_text(change.old)} → {_side_text(change.new)}")
        for change in changes[:_MOST_FIELDS]
    ]
    return with_remainder(lines, len(changes))


def _side_text(value: JsonValue) -> str:
    return "nothing" if value in (None, "", [], {}) else as_text(value)


def excerpts(texts: Sequence[str]) -> list[str]:
    """Return texts whole or, if one is long, from shortly before their first difference."""
    if max(map(len, texts), default=0) <= LONGEST_EXCERPT:
        return list(texts)
    columns = enumerate(zip(*texts, strict=False))
    shortest = min(map(len, texts))
    first = next((at for at, letters in columns if len(set(letters)) > 1), shortest)
    start = max(0, first - _BEFORE_DIFFERENCE)
    end = start + LONGEST_EXCERPT
    return [
        f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''} "
        f"({len(text):,} characters)"
        for text in texts
    ]


def label_of(document: Document) -> str:
    """Return a record's name as people see it; "" if it has none."""
    return shown_name_of(document)


def noun(kind: str, count: int = 1) -> str:
    """Return the noun for a kind of record."""
    word = kind.replace("_", " ")
    return _NOUNS.get(kind, (word, f"{word}s"))[count != 1]


def summary(changes: Iterable[RecordChange], files: Sequence[str] = ()) -> str:
    """Return a summary of changes in one line, such as "Rate 3 runs, add the eval Tone".

    Args:
        changes: What was done to records.
        files: Paths of files that changed and belong to no record.
    """
    records = list(changes)
    counts = Counter((verb, change.kind) for change in records for verb in change.verbs)
    parts: list[str] = []
    for (verb, kind), count in counts.most_common():
        if count > 1:
            parts.append(f"{verb} {count} {noun(kind, count)}")
            continue
        change = next(record for record in records if verb in record.verbs and record.kind == kind)
        name = label_of(change.new or change.old or {})
        subject = name if kind == CONFLICT else f"the {noun(kind)} {name}"
        parts.append(f"{verb} {subject}" if name else f"{verb} 1 {noun(kind)}")
    if files:
        parts.append(f"update {files[0]}" if len(files) == 1 else f"update {len(files)} files")
    if len(parts) > _MOST_PARTS:
        parts[_MOST_PARTS - 1 :] = [f"and {len(parts) - _MOST_PARTS + 1} more kinds of change"]
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def field_changes(old: Document, new: Document) -> list[FieldChange]:
    """Return what differs between two versions of a record, field by field."""
    return list(_differences((), old, new))


def field_name(path: tuple[str, ...]) -> str:
    """Return a field's name as people read it."""
    if path in _FIELDS:
        return _FIELDS[path]
    if len(path) > len(("output", "rating", "requirement_ratings")) and path[:2] == (
        "output",
        "rating",
    ):
        return f"rating of {path[3].removeprefix('named::')}"
    words = [step.replace("_", " ") for step in path]
    return " of ".join(reversed(words))


def _differences(path: tuple[str, ...], old: JsonValue, new: JsonValue) -> Iterable[FieldChange]:
    if same(old, new):
        return
    parts = [{} if side is None else side for side in (old, new)]
    first, second = parts
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        keys = dict.fromkeys([*first, *second])
        is_new_or_removed = bool(path) and not (first and second)
        for key in keys:
            if key != TYPED and not (is_new_or_removed and key in _PROGRAM_KEYS):
                yield from _differences((*path, key), first.get(key), second.get(key))
        return
    yield FieldChange(field_name(path), old, new)
