"""Questions that two people answered differently, each before hearing of the other's answer.

An answer that leaves things as they stand changes no record, so a merge of the records alone would
let the other answer win without a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from storage.git.git import FileChange, Git
from storage.sharing.conflicts import FOLDER, Question, value_at
from storage.sharing.three_way_merge import ABSENT, Clash, Value, equal
from storage.sharing.words import document_of

Changes = Mapping[str, FileChange]


@dataclass(frozen=True, slots=True)
class Answered:
    """The questions that each side decided since both were the same, by their ids."""

    here: Mapping[str, Question]
    there: Mapping[str, Question]


def answered(git: Git, prefix: str, base: str, here: Changes, there: Changes) -> Answered:
    """Return the questions that were decided.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        base: The commit that both sides began with.
        here: What changed here since, by path.
        there: What changed there since, by path.
    """
    return Answered(*(_decided(git, prefix, base, side) for side in (here, there)))


def _decided(git: Git, prefix: str, base: str, changes: Changes) -> dict[str, Question]:
    start = f"{prefix}{FOLDER}/"
    gone = [path for path in changes if path.startswith(start) and changes[path].after is None]
    found: dict[str, Question] = {}
    for content in git.blobs([f"{base}:{path}" for path in gone]):
        try:
            question = Question.model_validate_json(content or b"")
        except ValidationError:
            continue
        found[question.id] = question
    return found


def kept_on_purpose(prefix: str, decided: Mapping[str, Question], changes: Changes) -> list[str]:
    """Return the files of records that one side decided to keep."""
    paths = (prefix + one.path for one in decided.values() if not one.field and one.other is None)
    return [path for path in paths if path not in changes or changes[path].after is not None]


def clashing_values(
    git: Git, prefix: str, commits: Sequence[str], answers: Answered
) -> list[tuple[str, Clash]]:
    """Return the fields that were decided and have two values, with their records' files.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        commits: The one that both sides began with, ours and theirs.
        answers: The questions that were decided.
    """
    found: list[tuple[str, Clash]] = []
    for key, question in {**answers.here, **answers.there}.items():
        if not question.field:
            continue
        names = [f"{commit}:{prefix}{question.path}" for commit in commits]
        documents = [document_of(content) for content in git.blobs(names)]
        if not all(documents):
            continue
        fields = [question.field, *(one.field for one in question.also)]
        before, ours, theirs = (
            [value_at(one or {}, field) for field in fields] for one in documents
        )
        chosen = [
            values
            for side, values in ((answers.here, ours), (answers.there, theirs))
            if key in side
        ]
        is_as_it_was = len(chosen) == 1 and all(map(equal, chosen[0], before))
        if len(chosen) > 1 or is_as_it_was:
            sides = zip(fields, ours, theirs, strict=True)
            differing = [
                Clash(field, _first(question), here, there)
                for field, here, there in sides
                if not equal(here, there)
            ]
            if differing:
                whole = replace(differing[0], also=tuple(differing[1:]))
                found.append((question.path, whole))
    return found


def clashing_files(answers: Answered) -> list[str]:
    """Return the files beside records of which both sides decided which version is kept."""
    both = answers.here.keys() & answers.there.keys()
    return sorted(answers.here[key].path for key in both if answers.here[key].other is not None)


def _first(question: Question) -> Value:
    return ABSENT if question.before.absent else question.before.value
