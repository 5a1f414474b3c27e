"""The capability mechanism: one typed function, reached by every door.

A capability is a typed `async def` whose first parameter is the context of the call and whose
other parameters are its arguments. The signature is the schema, the docstring the help, and the
effect says what a person must know before it runs. No door has logic of its own: all of them
call `Capability.invoke` with the arguments as they arrived.
"""

import inspect
import math
import typing
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from kiln_mcp.approvals.plan import Effect
from kiln_mcp.errors import InvalidArguments, UnusableValue, closest
from storage import records
from storage.characters import whole
from storage.kind_words import kind_word
from storage.records.record import Part, Record, first_fault


class CallContext(Protocol):
    """What a capability's first parameter must offer."""

    def for_call(self, *, confirmed: bool) -> Self:
        """Return the context of one call, with the person's approval or without it."""
        ...


class Result(BaseModel):
    """What a capability answers: frozen, compact, the same data for every door."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ContextT = TypeVar("ContextT", bound=CallContext)
ResultT = TypeVar("ResultT", bound=BaseModel, covariant=True)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
P = ParamSpec("P")

_Confirm = Annotated[
    bool, Field(description="True only after the person has seen the plan and agreed to it.")
]


class _PlainSchema(GenerateJsonSchema):
    """JSON Schema without the titles that pydantic makes from field names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


class Capability(Generic[ContextT, P, ResultT]):
    """A typed function with an effect, callable from Python as it was written.

    Attributes:
        name: The verb phrase by which every door knows it.
        title: What a person reads on a button or in an approval.
        effect: What calling it does.
        reaches_out: Whether it talks to other machines, be they models or shared repositories.
    """

    def __init__(
        self,
        function: Callable[Concatenate[ContextT, P], Awaitable[ResultT]],
        *,
        effect: Effect,
        title: str,
        reaches_out: bool = False,
    ) -> None:
        self._function = function
        self.name = getattr(function, "__name__", title)
        self.title = title
        self.effect = effect
        self.reaches_out = reaches_out or effect is Effect.SPENDS

    async def __call__(self, context: ContextT, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call the function itself, as a Python caller does."""
        with self._refusing_what_no_record_takes():
            return await self._function(context, *args, **kwargs)

    @property
    def help(self) -> str:
        """The docstring, without indentation."""
        return inspect.getdoc(self._function) or ""

    @property
    def asks_first(self) -> bool:
        """Whether it may need a person's approval, and so takes `confirm`."""
        return self.effect in {Effect.SPENDS, Effect.DESTROYS}

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The model of the arguments, made from the signature."""
        signature = inspect.signature(self._function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
        fields: dict[str, tuple[object, object]] = {
            p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters
        }
        if self.asks_first:
            fields["confirm"] = (_Confirm, False)
        config = ConfigDict(
            extra="forbid", frozen=True, coerce_numbers_to_str=True, str_strip_whitespace=False
        )
        return create_model(  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
            self.name,
            __config__=config,
            **fields,  # pyright: ignore[reportArgumentType]
        )

    @cached_property
    def result(self) -> type[BaseModel]:
        """The model of the answer, from the return annotation."""
        annotation = inspect.signature(self._function, eval_str=True).return_annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            raise TypeError(f"{self.name} must return a pydantic model, not {annotation!r}")
        return annotation

    @cached_property
    def input_schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the arguments; an argument that may be null may be left out instead."""
        schema = _without_nulls(
            _compact(self.arguments.model_json_schema(schema_generator=_PlainSchema))
        )
        return schema if isinstance(schema, dict) else {}

    @cached_property
    def output_schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the answer; what is null or an empty list may be left out."""
        schema = _compact(
            self.result.model_json_schema(mode="serialization", schema_generator=_PlainSchema)
        )
        _require_only_what_is_never_empty(schema)
        return schema

    async def invoke(self, context: ContextT, arguments: Mapping[str, JsonValue]) -> ResultT:
        """Check the arguments and call the function: the way in for every door.

        Raises:
            InvalidArguments: An argument is unknown, missing or of the wrong kind.
            UnusableValue: A record that was to be made of them breaks a rule of its kind.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise InvalidArguments(self.name, self._problems(error)) from error
        if slips := list(_slips("", arguments, checked.model_dump())):
            raise InvalidArguments(self.name, slips)
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        confirmed = bool(values.pop("confirm", False)) if self.asks_first else False
        call = typing.cast("Callable[..., Awaitable[ResultT]]", self)
        return await call(context.for_call(confirmed=confirmed), **values)

    @contextmanager
    def _refusing_what_no_record_takes(self) -> Generator[None]:
        """Put the faults of records into words; those of all other models are our own mistakes."""
        try:
            yield
        except ValidationError as error:
            kind = getattr(records, error.title, None)
            if not (isinstance(kind, type) and issubclass(kind, Part)):
                raise
            word = kind_word(kind.type_name()) if issubclass(kind, Record) else error.title
            raise UnusableValue(self.name, word, first_fault(error)) from error

    def _problems(self, error: ValidationError) -> list[str]:
        details = error.errors(include_url=False)
        return [_problem(detail, _names_at(self.input_schema, detail["loc"])) for detail in details]


AnyCapability = Capability[typing.Any, ..., BaseModel]
"""A capability whose arguments are only known at run time."""


def capability(
    *, effect: Effect, title: str, reaches_out: bool = False
) -> Callable[
    [Callable[Concatenate[ContextT, P], Awaitable[AnswerT]]], Capability[ContextT, P, AnswerT]
]:
    """Make a capability of a typed function.

    Args:
        effect: What calling it does; becomes annotations and approvals at the doors.
        title: What a person reads, in the imperative: "Draft a specification".
        reaches_out: Whether it talks to other machines; what asks models does anyway.
    """

    def decorate(
        function: Callable[Concatenate[ContextT, P], Awaitable[AnswerT]],
    ) -> Capability[ContextT, P, AnswerT]:
        return Capability(function, effect=effect, title=title, reaches_out=reaches_out)

    return decorate


def _names_at(schema: JsonValue, place: Sequence[int | str]) -> list[str]:
    """Return the names that are valid beside the last step of a place; none where unknown."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if len(place) == 1:
        return list(properties) if isinstance(properties, dict) else []
    step = place[0]
    if isinstance(step, int):
        return _names_at(schema.get("items") if isinstance(schema, dict) else None, place[1:])
    return _names_at(properties.get(step) if isinstance(properties, dict) else None, place[1:])


def _problem(detail: ErrorDetails, known: Sequence[str]) -> str:
    """Put one validation error into a sentence that says what would be right."""
    place = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            valid = f" It takes: {', '.join(known)}." if known else ""
            return f"Unknown argument '{place}'.{closest(str(detail['loc'][-1]), known)}{valid}"
        case "missing":
            return f"The argument '{place}' is missing."
        case _:
            return _wrong(place, detail["msg"], detail["input"])


def _wrong(place: str, reason: str, given: object) -> str:
    text = repr(given)
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f"The argument '{place}' is wrong: {reason} (given: {shown})."


def _slips(place: str, given: object, taken: object) -> Iterator[str]:
    """Return what pydantic takes and nobody means: true for 1, infinity, half a character.

    Args:
        place: Where in the arguments, such as "scores.Right".
        given: What arrived there.
        taken: What became of it.
    """
    match taken:
        case bool():
            return
        case float() if not math.isfinite(taken):
            yield _wrong(place, "it is no finite number", taken)
        case int() | float() if isinstance(given, bool):
            yield _wrong(place, "it has to be a number", given)
        case str() if whole(taken) != taken:
            yield _wrong(place, "it holds half a character", taken)
        case _:
            arrived = _entries(given)
            for step, inner in _entries(taken).items():
                yield from _slips(f"{place}.{step}".lstrip("."), arrived.get(step), inner)


def _entries(value: object) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return typing.cast("Mapping[object, object]", value)
    if isinstance(value, list | tuple):
        return dict(enumerate(typing.cast("Sequence[object]", value)))
    return {}


_LEFT_OUT = frozenset({"$defs", "title", "discriminator"})
_SAYS_WHAT = frozenset({"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"})
_ANYTHING: dict[str, JsonValue] = {
    "anyOf": [{"type": kind} for kind in ("string", "object", "array", "number", "boolean")]
}
"""Any JSON value, said in words that clients which check schemas do not stumble over."""


def _compact(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the schema with local references put in place, without the titles of models.

    Several clients do not follow `$ref`; our models are not recursive.
    """
    definitions = schema.get("$defs")
    known = definitions if isinstance(definitions, dict) else {}

    def resolve(node: JsonValue, *, names: bool = False) -> JsonValue:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str) and not names:
            target = resolve(known[reference.rsplit("/", 1)[-1]])
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**target, **rest} if isinstance(target, dict) else target
        kept = {
            key: resolve(value, names=key == "properties")
            for key, value in node.items()
            if names or key not in _LEFT_OUT
        }
        if names:
            return kept
        if kept.get("additionalProperties") in (True, _ANYTHING):
            del kept["additionalProperties"]
        return kept if _SAYS_WHAT & kept.keys() else {**_ANYTHING, **kept}

    resolved = resolve(schema)
    return resolved if isinstance(resolved, dict) else {}


def _without_nulls(node: JsonValue) -> JsonValue:
    """Return a schema without the nulls that stand for leaving an argument out, at any depth."""
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    argument = {key: _without_nulls(value) for key, value in node.items()}
    options = argument.get("anyOf")
    if not isinstance(options, list) or argument.get("default", 0) is not None:
        return argument
    kinds = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in argument.items() if key not in {"anyOf", "default"}}
    return {**kinds[0], **rest} if len(kinds) == 1 and isinstance(kinds[0], dict) else argument


def _require_only_what_is_never_empty(node: JsonValue) -> None:
    """Take from `required`, everywhere in a schema, what may be null or a list."""
    if isinstance(node, list):
        for item in node:
            _require_only_what_is_never_empty(item)
    if not isinstance(node, dict):
        return
    for value in node.values():
        _require_only_what_is_never_empty(value)
    properties, required = node.get("properties"), node.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        node["required"] = [name for name in required if not _may_be_empty(properties, name)]


def _may_be_empty(properties: Mapping[str, JsonValue], name: JsonValue) -> bool:
    schema = properties.get(name) if isinstance(name, str) else None
    if not isinstance(schema, dict):
        return False
    options = schema.get("anyOf")
    nullable = isinstance(options, list) and {"type": "null"} in options
    return nullable or schema.get("type") == "array"
