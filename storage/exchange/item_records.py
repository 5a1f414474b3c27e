"""The records that examples become: runs with an output, and eval inputs without one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from storage.exchange.columns import Row, RunSources, read_json, run_of
from storage.exchange.examples import AnswerRecord, Example, is_empty, list_of, text_of_value
from storage.new_records import NewRecord, text_of
from storage.records import DataSource, EvalInput, Task, TaskRun
from storage.records.evaluation import SingleTurnData, UserMessage
from storage.records.record import first_fault
from storage.records.run import (
    ANSWER_STATE,
    COMPLETE,
    IMPORT_ADAPTER,
    OTHER_RIGHT_OUTPUTS,
    TOPIC,
    UNKNOWN,
)

OutputKind = Literal["right", "answers"]
"""Whether outputs are right, or what a model answered, right or wrong."""

_CUT_STATES: Final = ("truncated", "refused", "empty")
_TYPES: Final = ("integer", "number", "boolean", "array", "object")
"""Types of a schema that text in a cell may stand for; a schema may name a list of types."""
_ID_DIGITS: Final = 12
_NOTHING: Final = AnswerRecord()
"""What is known of an answer that the table says nothing about."""

NewItemRecord = NewRecord[TaskRun] | NewRecord[EvalInput]


@dataclass(frozen=True, slots=True)
class NewItem:
    """A record that an example becomes.

    Attributes:
        record: The run, or the eval input if there is no output.
        feedback: What people wrote about the run.
        original_id: The id of the run that the example is a copy of, if it is one of ours.
    """

    record: NewItemRecord
    feedback: tuple[str, ...] = ()
    original_id: str | None = None


@dataclass(frozen=True, slots=True)
class ItemOrigin:
    """Where examples come from.

    Attributes:
        source: Of inputs and right outputs.
        name: The table's name.
        digest: The fingerprint of the table.
        tags: Tags for all of them.
        outputs: What the outputs are; None if each example says it.
    """

    source: DataSource
    name: str
    digest: bytes
    tags: tuple[str, ...] = ()
    outputs: OutputKind | None = None


@dataclass(slots=True)
class RecordMaker:
    """Makes records of examples for one task."""

    task: Task
    origin: ItemOrigin
    _sources: dict[tuple[str | None, ...], DataSource] = field(
        default_factory=dict[tuple[str | None, ...], DataSource]
    )

    def is_answer(self, example: Example) -> bool:
        """Whether an example's output is what a model answered, not a right output.

        An output that the table calls wrong is never a right one, whatever was asked for.
        """
        record = example.record
        if record is not None and record.is_thumb and record.rating == 0:
            return True
        if self.origin.outputs is not None:
            return self.origin.outputs == "answers"
        return example.answer is not None or "model" in example.columns

    def output_of(self, example: Example) -> object | None:
        """Return the output of an example; None if there is none."""
        return example.reference if example.answer is None else example.answer

    def item(self, example: Example, place: int) -> NewItem:
        """Return the record of an example.

        Args:
            example: The example.
            place: The number of its row.

        Raises:
            ValueError: Something is wrong with it; the text says what.
        """
        input_text = _part_text(
            "input", example.input, example.whole_input, self.task.input_json_schema
        )
        if not input_text.strip():
            raise ValueError("its input is empty")
        output = self.output_of(example)
        if is_empty(output):
            return NewItem(self._new_record(self._eval_input(example, input_text)))
        document = example.whole_reference if example.answer is None else None
        if example.is_assembled and self.task.output_json_schema is not None:
            output = _as_structured(output, self.task.output_json_schema)
        output_text = _part_text("output", output, document, self.task.output_json_schema)
        record = _record_of(example)
        if record.state != COMPLETE and not self.is_answer(example):
            raise ValueError(f"its answer is {record.state}, so it is no right output")
        original_id = record.id or _text(example.columns.get("id"))
        key = self._key(example, (input_text, output_text), original_id, place)
        row = {
            **_row_of(example, record),
            "input": input_text,
            "output": output_text,
            "tags": list(self._tags(example)),
        }
        run = run_of(row, id_from(key), self._run_sources(example, record))
        own_id = original_id if original_id and len(original_id) == _ID_DIGITS else None
        return NewItem(self._new_record(run), record.feedback, own_id)

    def _tags(self, example: Example) -> tuple[str, ...]:
        """Return the tags of an example and those of all, each once."""
        return tuple(dict.fromkeys((*example.tags, *self.origin.tags)))

    def _key(
        self, example: Example, texts: tuple[str, str], original_id: str | None, place: int
    ) -> bytes:
        """Return what makes a run's id: the same row again is the same run."""
        if not self.is_answer(example):
            return json.dumps([self.task.id, "item", *texts]).encode()
        if original_id is not None:
            return json.dumps([self.task.id, "answer", original_id]).encode()
        return json.dumps([self.task.id, self.origin.digest.hex(), place]).encode()

    def _run_sources(self, example: Example, record: AnswerRecord) -> RunSources:
        input_source = self._source(example.topic, None)
        if self.is_answer(example):
            model = record.model or _text(example.columns.get("model"))
            return RunSources(input_source, self._model_source(model, record))
        values = example.alternatives or list_of(example.columns.get("other_right_outputs"))
        alternatives = json.dumps(values) if values else None
        return RunSources(input_source, self._source(None, alternatives))

    def _source(self, topic: str | None, alternatives: str | None) -> DataSource:
        key = (topic, alternatives)
        source = self._sources.get(key)
        if source is None:
            extra = {TOPIC: topic, OTHER_RIGHT_OUTPUTS: alternatives}
            labels = {name: value for name, value in extra.items() if value}
            properties = {**self.origin.source.properties, **labels}
            source = DataSource(type=self.origin.source.type, properties=properties)
            if alternatives is None:
                self._sources[key] = source
        return source

    def _model_source(self, model: str | None, record: AnswerRecord) -> DataSource:
        key = ("model", model, record.provider)
        if key in self._sources and not record.properties and record.state == COMPLETE:
            return self._sources[key]
        state = {} if record.state == COMPLETE else {ANSWER_STATE: record.state}
        names = {
            "model_name": model or UNKNOWN,
            "model_provider": record.provider or UNKNOWN,
            "adapter_name": IMPORT_ADAPTER,
            "imported_from": self.origin.name,
        }
        properties = {
            name: value for name, value in record.properties.items() if value != ""
        } | state
        source = DataSource(type="synthetic", properties={**properties, **names})
        if not properties:
            self._sources[key] = source
        return source

    def _eval_input(self, example: Example, text: str) -> EvalInput:
        key = json.dumps([self.task.id, "input", text]).encode()
        try:
            data = SingleTurnData(user_message=UserMessage(text=text))
            topic = {TOPIC: example.topic} if example.topic else {}
            values = {"id": id_from(key), "data": data, "tags": self._tags(example), **topic}
            return EvalInput.model_validate(values)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from error

    def _new_record(self, record: TaskRun | EvalInput) -> NewItemRecord:
        try:
            return cast("NewItemRecord", NewRecord(record, _record_bytes(record)))
        except UnicodeEncodeError as error:
            reason = f"it holds a lone surrogate ({error.object[error.start]!r})"
            raise ValueError(reason) from error


def _record_of(example: Example) -> AnswerRecord:
    """Return what is known of an answer; a table of our own tells its state by a tag."""
    record = example.record or _NOTHING
    state = next((state for state in _CUT_STATES if f"answer_{state}" in example.tags), None)
    is_as_is = state is None or not is_empty(example.columns.get("repaired"))
    return record if is_as_is else replace(record, state=state)


def _record_bytes(record: TaskRun | EvalInput) -> bytes:
    """Return the bytes of a new record's file; pydantic writes them ten times faster than we do.

    A record with other numbers than tokens is written by our own hand, as all alternatives are.
    """
    is_plain = isinstance(record, EvalInput) or (
        record.usage is None and record.trace is None and record.output.rating is None
    )
    try:
        if is_plain:
            return record.model_dump_json(indent=2).encode("utf-8")
    except PydanticSerializationError:
        pass  # a lone surrogate, which our own text names
    return text_of(record).encode("utf-8")


def id_from(content: bytes) -> str:
    """Return 12 decimal digits, as ids are, that come from some content."""
    digest = blake2b(content, digest_size=16).digest()
    return f"{int.from_bytes(digest, 'big') % 10**_ID_DIGITS:0{_ID_DIGITS}}"


def _row_of(example: Example, record: AnswerRecord) -> Row:
    """Return our columns of an example but for its input, its output and its tags."""
    if record is _NOTHING and not example.messages:
        return example.columns
    of_record = {
        "created_at": record.created_at,
        "usage": record.usage,
        "reasoning": record.reasoning,
        "rating": record.rating,
        "rating_type": "pass_fail" if record.is_thumb else None,
        "trace": [dict(message) for message in example.messages] or None,
    }
    return {
        **example.columns,
        **{name: value for name, value in of_record.items() if value is not None},
    }


def _text(value: object) -> str | None:
    return None if is_empty(value) else text_of_value(value)


def _part_text(
    part: str, value: object, document: Mapping[str, object] | None, schema_text: str | None
) -> str:
    """Return a value as the format holds it: text, or JSON text where there is a schema.

    Raises:
        ValueError: There is a schema, and the value is no JSON.
    """
    if schema_text is None:
        return text_of_value(value)
    if document is not None or not isinstance(value, str):
        return text_of_value(value if document is None else document)
    try:
        read_json(value)
    except ValueError as error:
        document = _only_member(value, schema_text)
        if document is None:
            raise ValueError(
                f"its {part} is not the JSON that the task asks for ({error})"
            ) from error
        return text_of_value(_as_structured(document, schema_text))
    return value


@lru_cache(maxsize=16)
def _properties(schema_text: str) -> Mapping[str, object]:
    schema: object = json.loads(schema_text)
    properties: object = cast("dict[str, object]", schema).get("properties")
    return cast("dict[str, object]", properties) if isinstance(properties, dict) else {}


def _only_member(text: str, schema_text: str) -> Mapping[str, object] | None:
    """Return text as the only property of a schema; None if it is JSON, or has other ones."""
    properties = _properties(schema_text)
    if len(properties) != 1 or text.lstrip()[:1] in ("{", "["):
        return None
    return {next(iter(properties)): text}


def _as_structured(value: object, schema_text: str) -> object:
    """Return an object whose texts are numbers and truth values where a schema asks for these."""
    if not isinstance(value, Mapping):
        return value
    properties = _properties(schema_text)
    members = cast("Mapping[str, object]", value)
    return {name: _value_of_type(member, properties.get(name)) for name, member in members.items()}


def _value_of_type(value: object, schema: object) -> object:
    kind = cast("dict[str, object]", schema).get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str) or kind not in _TYPES:
        return value
    try:
        document = read_json(value.strip().lower() if kind == "boolean" else value.strip())
    except ValueError:
        return value
    return value if isinstance(document, str) else document
