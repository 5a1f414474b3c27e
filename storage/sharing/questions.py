"""What people must decide: two values for one field, or a deletion against a change.

A question is a small file in the project, the same on every machine that finds it, so that
whoever decides first decides for all.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from storage.errors import RecordNotFound
from storage.json_text import write_json
from storage.sharing.merging import ABSENT, Absent, Clash, Value
from storage.sharing.words import field_name

FOLDER = "questions"


class Choice(BaseModel):
    """One of the values; `absent` for taking the field, or the record, away."""

    model_config = ConfigDict(frozen=True)

    absent: bool = False
    value: JsonValue = None

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return "absent" if self.absent else json.dumps(self.value, ensure_ascii=False)


class Question(BaseModel):
    """A field with two values, or a record deleted by one and changed by another.

    Attributes:
        path: The record's file.
        field: The keys that lead to the field; none where the record as a whole is meant.
        before: What it was before both.
        choices: The two values; the record holds one of them until somebody decides.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    path: str
    field: tuple[str, ...]
    before: Choice
    choices: tuple[Choice, Choice]

    @property
    def text(self) -> str:
        """The question as a person is asked it."""
        record = self.path.rpartition("/")[0].rpartition("/")[2]
        if not self.field:
            return f"{record}: one deleted it and another changed it. Keep it?"
        first, second = (choice.shown for choice in self.choices)
        return f"{record}: is the {field_name(self.field)} {first} or {second}?"


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """A question's file, within the project, and its content."""

    path: str
    content: bytes


def question_of(path: str, clash: Clash) -> QuestionFile:
    """Return the file of the question that a clash asks."""
    choices = sorted([_choice(clash.ours), _choice(clash.theirs)], key=lambda choice: choice.shown)
    data: dict[str, JsonValue] = {
        "path": path,
        "field": list(clash.field),
        "before": _choice(clash.before).model_dump(mode="json"),
        "choices": [choice.model_dump(mode="json") for choice in choices],
    }
    key = blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=6).hexdigest()
    return QuestionFile(f"{FOLDER}/{key}.json", write_json({"id": key, **data}).encode())


def deletion_question(path: str) -> QuestionFile:
    """Return the file of the question whether a deleted and changed record is kept."""
    return question_of(path, Clash((), True, ABSENT, True))


def open_questions(project: Path) -> list[Question]:
    """Return the questions that nobody decided yet."""
    files = sorted((project / FOLDER).glob("*.json"))
    return [Question.model_validate_json(file.read_bytes()) for file in files]


def question_named(project: Path, key: str) -> Question:
    """Return an open question.

    Raises:
        RecordNotFound: There is none with this id.
    """
    for question in open_questions(project):
        if question.id == key:
            return question
    raise RecordNotFound("question", key)


def with_choice(
    document: dict[str, JsonValue], field: tuple[str, ...], choice: Choice
) -> dict[str, JsonValue]:
    """Return an object with a field set as chosen."""
    key, rest = field[0], field[1:]
    changed = dict(document)
    if rest:
        inner = document.get(key)
        changed[key] = with_choice(inner if isinstance(inner, dict) else {}, rest, choice)
    elif choice.absent:
        changed.pop(key, None)
    else:
        changed[key] = choice.value
    return changed


def _choice(value: Value) -> Choice:
    return Choice(absent=True) if isinstance(value, Absent) else Choice(value=value)
