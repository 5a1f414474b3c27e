"""What people must decide: two values for one field, or a deletion against a change.

A question is a small file in the project, the same on every machine that finds it, so that
whoever decides first decides for all.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)

from storage.border import TRASH, Reach, check_links, check_path, has_links
from storage.changes import Change
from storage.commits.commit_log import Edit, Move
from storage.commits.trash import TrashEntry, new_trash_entry
from storage.errors import RecordNotFound, UnsafePath
from storage.files import read_plain
from storage.format.layout import PROJECT_FILE, place_named
from storage.format.record_text import read_record, revision_of
from storage.records.names import display_label
from storage.sharing.errors import NoSuchChoice
from storage.sharing.three_way_merge import ABSENT, Absent, Clash, Value
from storage.sharing.words import (
    LONGEST_EXCERPT,
    Document,
    document_of,
    excerpts,
    field_name,
    noun,
    spoken,
)
from storage.text.json_text import patch_json, write_json

FOLDER = "questions"


class Choice(BaseModel):
    """One of the values; `absent` for taking the field, or the record, away."""

    model_config = ConfigDict(frozen=True)

    absent: bool = False
    value: JsonValue = None

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return "absent" if self.absent else spoken(self.value)


def _inside(path: str) -> str:
    """Refuse a path that a question's file must not name."""
    try:
        check_path(path, Reach.SHARED)
    except UnsafePath as error:
        raise ValueError("no path within the project") from error
    if path.startswith(f"{TRASH}/"):
        raise ValueError("no path within the project")
    return path


_Path = Annotated[str, AfterValidator(_inside)]


class Companion(BaseModel):
    """Another field that is decided with a question's own.

    Attributes:
        field: The keys that lead to it.
        choices: Its values, each with that of the question.
    """

    model_config = ConfigDict(frozen=True)

    field: Annotated[tuple[str, ...], Field(min_length=1)]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=2)]


class Question(BaseModel):
    """A field with two values, or a record deleted by one and changed by another.

    Attributes:
        path: The record's file, or a file beside one.
        other: The file that holds the other version, where the question is of a whole file.
        field: The keys that lead to the field; none where the record as a whole is meant.
        before: What it was before both.
        choices: The two values; where it was given a third one since, that is the last.
        also: What else is decided with it, such as the instructions of a repair with its output.
        what: The record's name or beginning, as people know it; not in the question's file.
        makers: Who made each choice, and when; "" where nobody knows. Not in the file either: it
            is the same on all machines, whatever each has of the history.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(pattern="^[0-9a-f]+$")]
    path: _Path
    field: tuple[str, ...]
    other: _Path | None = None
    before: Choice
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=2)]
    also: tuple[Companion, ...] = ()
    what: Annotated[str, Field(exclude=True)] = ""
    makers: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @property
    def text(self) -> str:
        """The question as a person is asked it."""
        record = self.what or self.path.rpartition("/")[0].rpartition("/")[2]
        if self.other is not None:
            names = [PurePosixPath(path).name for path in (self.path, self.other)]
            return f"{record}: two people changed {names[0]}. Keep it, or {names[1]}?"
        if not self.field:
            return f"{record}: one deleted it and another changed it. Keep it?"
        if self._is_long:
            text = f"{record}: which {field_name(self.field)} is right?"
        else:
            *most, last = (choice.shown for choice in self.choices)
            text = f"{record}: is the {field_name(self.field)} {', '.join(most)} or {last}?"
        if self.also:
            beside = ", ".join(field_name(one.field) for one in self.also)
            text += f" Each comes with its {beside}."
        return text

    @property
    def _is_long(self) -> bool:
        return any(len(choice.shown) > LONGEST_EXCERPT for choice in self.choices)

    @property
    def options(self) -> tuple[str, ...]:
        """The choices as a person reads them, and who made them."""
        if self.other is not None:
            return tuple(str(choice.value) for choice in self.choices)
        if not self.field:
            said = ["delete it" if one.absent else "keep it" for one in self.choices]
        else:
            said = self._values_shown()
        makers = self.makers or ("",) * len(said)
        return tuple(
            f"{one} ({maker})" if maker else one for one, maker in zip(said, makers, strict=True)
        )

    def _values_shown(self) -> list[str]:
        own = excerpts([choice.shown for choice in self.choices])
        names = [field_name(one.field) for one in self.also]
        beside = [excerpts([choice.shown for choice in one.choices]) for one in self.also]
        return [
            ", ".join([value, *map(" ".join, zip(names, others, strict=True))])
            for value, *others in zip(own, *beside, strict=True)
        ]

    def chosen(self, number: int) -> list[tuple[tuple[str, ...], Choice]]:
        """Return the fields that are decided, each with its value in a choice."""
        also = [(one.field, one.choices[number]) for one in self.also]
        return [(self.field, self.choices[number]), *also]

    def subject(self, document: Document) -> str:
        """Return what is to be decided, such as "the overall rating of the run 'hi'".

        Args:
            document: The record's file, empty where it is not there.
        """
        if self.other is not None:
            return f"which {PurePosixPath(self.path).name} is kept"
        kind = noun(PurePosixPath(self.path).stem)
        record = f"the {kind} '{display_label(document)}'" if document else f"a {kind}"
        if not self.field:
            return f"whether {record} is kept"
        return f"the {field_name(self.field)} of {record}"


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """A question's file, within the project, and its content.

    Attributes:
        subject: The file that is meant, and the keys that lead to the field.
    """

    path: str
    content: bytes
    subject: tuple[str, ...]


def question_of(path: str, clash: Clash) -> QuestionFile:
    """Return the file of the question that a clash asks."""
    is_turned = _choice(clash.ours).shown > _choice(clash.theirs).shown
    data: dict[str, JsonValue] = {
        "path": path,
        "field": list(clash.field),
        "before": _choice(clash.before).model_dump(mode="json"),
        "choices": _sides(clash, is_turned=is_turned),
    }
    if clash.also:
        data["also"] = [
            {"field": list(one.field), "choices": _sides(one, is_turned=is_turned)}
            for one in clash.also
        ]
    return _file(data, (path, *clash.field))


def _sides(clash: Clash, *, is_turned: bool) -> list[JsonValue]:
    """Return both values of a clash, in an order that is the same for both sides."""
    sides = [clash.theirs, clash.ours] if is_turned else [clash.ours, clash.theirs]
    return [_choice(side).model_dump(mode="json") for side in sides]


def deletion_question(path: str) -> QuestionFile:
    """Return the file of the question whether a deleted and changed record is kept."""
    return question_of(path, Clash((), "keep", ABSENT, "keep"))


def file_question(path: str, other: str) -> QuestionFile:
    """Return the file of the question which of two versions of a file is kept."""
    name = PurePosixPath(path).name
    choices = [_choice(f"the one in {name}"), _choice(f"the one in {PurePosixPath(other).name}")]
    data: dict[str, JsonValue] = {
        "path": path,
        "field": [],
        "other": other,
        "before": _choice(ABSENT).model_dump(mode="json"),
        "choices": [choice.model_dump(mode="json") for choice in choices],
    }
    return _file(data, (path,))


def open_questions(project: Path) -> list[Question]:
    """Return the questions that nobody decided yet, as they stand now.

    Files that are none are left alone. Of a record or file that is not there any more nothing is
    asked; it may come back from the trash.
    """
    found: list[Question] = []
    if has_links(project, FOLDER):
        return found
    for file in sorted((project / FOLDER).glob("*.json")):
        try:
            question = Question.model_validate_json(read_plain(file))
            check_links(project, filter(None, (question.path, question.other)))
            record = _record_file(project, question.path)
            held = read_plain(record)
        except (ValidationError, UnsafePath, OSError):
            continue
        meant = [path for path in (question.path, question.other) if path is not None]
        if question.id == file.stem and all((project / path).is_file() for path in meant):
            found.append(_as_it_stands(question, record.stem, document_of(held) or {}))
    return found


def _record_file(project: Path, path: str) -> Path:
    """Return the file of the record that is meant, or that a file lies beside."""
    file = project / path
    if file.suffix == ".kiln":
        return file
    above = (project / folder for folder in PurePosixPath(path).parents)
    near = (found for folder in above for found in sorted(folder.glob("*.kiln")))
    return next(near, project / PROJECT_FILE)


def _as_it_stands(question: Question, kind: str, document: Document) -> Question:
    """Return a question with its record's name, and the value that the field was given since."""
    what = f"the {noun(kind)} '{display_label(document)}'"
    known = question.model_copy(update={"what": what})
    held = [
        (field, choice_at(document, field))
        for field, _ in (question.chosen(0) if question.field else ())
    ]
    if not held or held in [question.chosen(number) for number in range(2)]:
        return known
    also = [
        one.model_copy(update={"choices": (*one.choices, since)})
        for one, (_, since) in zip(question.also, held[1:], strict=True)
    ]
    choices = (*question.choices, held[0][1])
    return known.model_copy(update={"choices": choices, "also": tuple(also)})


def value_at(document: Document, field: tuple[str, ...]) -> Value:
    """Return the value of a record's field; ABSENT where it has none."""
    value: JsonValue = document
    for key in field:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def choice_at(document: Document, field: tuple[str, ...]) -> Choice:
    """Return the value of a record's field as a choice."""
    return _choice(value_at(document, field))


def question_named(project: Path, key: str) -> Question:
    """Return an open question.

    Raises:
        RecordNotFound: There is none with this id.
    """
    questions = {question.id: question for question in open_questions(project)}
    if key not in questions:
        raise RecordNotFound("question", key, list(questions)[:3])
    return questions[key]


def decision(project: Path, question: Question, number: int) -> Change:
    """Return what is to be written so that a question is decided.

    Args:
        project: The project's folder.
        question: The question.
        number: 0 for its first choice, 1 for the second, 2 for the third where it has one.

    Raises:
        NoSuchChoice: It has none of this number.
    """
    if not 0 <= number < len(question.choices):
        raise NoSuchChoice(number + 1, question.options)
    choice = question.choices[number]
    change = Change(project)
    asked = f"{FOLDER}/{question.id}.json"
    change.moves.append(Move(asked, f".trash/decided/{question.id}.json"))
    file = project / question.path
    if question.other is not None:
        _decide_file(change, question.path, question.other, keep_other=number == 1)
    elif not question.field:
        if choice.absent and file.is_file():
            change.move_to_trash(_trashed(project, question.path))
    elif file.is_file():
        held = file.read_bytes()
        document = document_of(held) or {}
        changed = document
        for field, chosen in question.chosen(number):
            changed = with_choice(changed, field, chosen)
        change.edits.append(edited(question.path, held, document, changed))
    return change


def edited(
    path: str, held: bytes, before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> Edit:
    """Return the edit of a record's file that makes one object of another.

    Raises:
        UnreadableRecord: The result would be no record.
    """
    content = patch_json(held.decode("utf-8"), before, after).encode("utf-8")
    place = place_named(PurePosixPath(path).name)
    if place is not None:
        read_record(place.record, content, path)
    return Edit(path, content, revision_of(held))


def _decide_file(change: Change, path: str, other: str, *, keep_other: bool) -> None:
    file, second = change.folder / path, change.folder / other
    if not second.is_file():
        return
    if keep_other:
        held = revision_of(file.read_bytes()) if file.is_file() else None
        change.edits.append(Edit(path, second.read_bytes(), held))
    change.moves.append(Move(other, f".trash/decided/{PurePosixPath(other).name}"))


def _trashed(project: Path, path: str) -> TrashEntry:
    document = document_of((project / path).read_bytes()) or {}
    record_id = str(document.get("id", ""))
    kind, folder = PurePosixPath(path).stem, str(PurePosixPath(path).parent)
    return new_trash_entry(kind, record_id, display_label(document), folder)


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


def _file(data: dict[str, JsonValue], subject: tuple[str, ...]) -> QuestionFile:
    key = blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=6).hexdigest()
    content = write_json({"id": key, **data}).encode()
    return QuestionFile(f"{FOLDER}/{key}.json", content, subject)
