"""The capability mechanism: one typed function, reached by every door.

A capability is a typed `async def` whose first parameter is the context of the call and whose
other parameters are its arguments. The signature is the schema, the docstring the help, and the
effect says what a person must know before it runs.

What spends, destroys or sends data out returns a `Proposal`: a plan, and the function that carries
it out. The other capabilities return their result. No argument is ever an approval: `approval_id`
only names one that a person gave elsewhere.
"""

import inspect
import math
import typing
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar, overload

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, create_model
from pydantic_core import ErrorDetails, to_jsonable_python

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.approvals.records import ProposedCall
from kiln_mcp.errors import InvalidArguments, UnusableValue, closest, one_error
from kiln_mcp.workbench.argument_schemas import schema_of
from kiln_mcp.workbench.call_options import CallOptions
from storage import records
from storage.records.record import Part, Record, first_fault
from storage.text.characters import repair_surrogates
from storage.text.excerpts import excerpt
from storage.text.kind_words import kind_word


class Runs(StrEnum):
    """How a call through a door is carried out."""

    AT_ONCE = "at once"
    AS_JOB = "as a job"
    """It may take long: it goes on when its caller has gone or the process was killed."""


class CallContext(Protocol):
    """What a capability's first parameter must offer."""

    async def approve(self, call: ProposedCall, effect: Effect) -> None:
        """Return if the call may be carried out.

        Raises:
            WorkbenchError: A person must agree first, or did not.
        """
        ...


class Result(BaseModel):
    """What a capability answers: frozen, compact, the same data for every door."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ContextT = TypeVar("ContextT", bound=CallContext)
ResultT = TypeVar("ResultT", bound=BaseModel, covariant=True)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")
JsonObject = Mapping[str, JsonValue]

_SHOWN: Final = 60
"""Characters of an argument in the plan of a call that only writes."""


@dataclass(frozen=True, slots=True)
class Proposal(Generic[T]):
    """What a capability will do once it is approved. Nothing has been done yet.

    Attributes:
        plan: What will be done, what it costs, and where data goes.
        carry_out: Does it.
        unapproved: Does what can be done without approval, given the id of the approval that a
            person may still give; None if that is nothing.
    """

    plan: Plan
    carry_out: Callable[[], Awaitable[T]]
    unapproved: Callable[[str], Awaitable[T]] | None = None


class Capability(Generic[ContextT, P, ResultT]):
    """A typed function with an effect, callable from Python as it was written.

    Attributes:
        name: The verb phrase by which every door knows it.
        title: What a person reads on a button or in an approval.
        effect: What calling it does.
        sends_out: Whether it may send data to an address or folder that the caller names.
        runs: Whether a call through a door is a job.
    """

    def __init__(
        self,
        function: Callable[Concatenate[ContextT, P], Awaitable[ResultT | Proposal[ResultT]]],
        *,
        effect: Effect,
        title: str,
        sends_out: bool = False,
        runs: Runs = Runs.AT_ONCE,
    ) -> None:
        self._function = function
        self.name = getattr(function, "__name__", title)
        self.title = title
        self.effect = effect
        self.sends_out = sends_out
        self.runs = runs

    async def __call__(self, context: ContextT, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Propose, have the plan approved by the context, and carry it out: Python's door.

        Raises:
            WorkbenchError: A person must agree first, or did not; or the work failed.
        """
        parameters = inspect.signature(self._function).bind(context, *args, **kwargs).arguments
        values = dict(list(parameters.items())[1:])
        arguments = to_jsonable_python(values, fallback=str)
        proposal = await self._propose(context, values, arguments)
        return await self._carry_out(context, proposal, arguments)

    @property
    def help(self) -> str:
        """The docstring, without indentation."""
        return inspect.getdoc(self._function) or ""

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that the mechanism adds to the arguments."""
        approval = ("approval_id",) if self.proposes else ()
        return (*approval, "wait_s", "limit") if self.runs is Runs.AS_JOB else approval

    @cached_property
    def proposes(self) -> bool:
        """Whether it returns a proposal, which may need approval."""
        return typing.get_origin(self._returned) is Proposal

    @property
    def _returned(self) -> object:
        return inspect.signature(self._function, eval_str=True).return_annotation

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The model of the arguments, made from the signature."""
        signature = inspect.signature(self._function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
        fields: dict[str, tuple[object, object]] = {
            p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters
        }
        fields.update(CallOptions.fields_of(self.options))
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
        inner = typing.get_args(self._returned)
        annotation = inner[0] if self.proposes else self._returned
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            raise TypeError(f"{self.name} must return a pydantic model, not {annotation!r}")
        return annotation

    @cached_property
    def input_schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the arguments; an argument that may be null may be left out instead."""
        return schema_of(self.arguments)

    def split(self, arguments: Mapping[str, JsonValue]) -> tuple[JsonObject, CallOptions]:
        """Return the arguments that say what to do, without nulls, and the call's options.

        Raises:
            InvalidArguments: An option is of the wrong kind.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        chosen = {name: given.pop(name) for name in self.options if name in given}
        try:
            return given, CallOptions.model_validate(chosen)
        except ValidationError as error:
            raise InvalidArguments(self.name, self._problems(error)) from error

    async def propose(
        self, context: ContextT, arguments: Mapping[str, JsonValue]
    ) -> Proposal[ResultT]:
        """Check the arguments and say what the call would do; nothing is done yet.

        Raises:
            InvalidArguments: An argument is unknown, missing or of the wrong kind.
            UnusableValue: A record that was to be made of them breaks a rule of its kind.
        """
        return await self._propose(context, self._checked(arguments), arguments)

    async def invoke(self, context: ContextT, arguments: Mapping[str, JsonValue]) -> ResultT:
        """Call it with arguments as they arrived; approval is the context's matter.

        Raises:
            InvalidArguments: An argument is unknown, missing or of the wrong kind.
            UnusableValue: A record that was to be made of them breaks a rule of its kind.
            WorkbenchError: A person must agree first, or did not; or the work failed.
        """
        given, _ = self.split(arguments)
        proposal = await self.propose(context, given)
        return await self._carry_out(context, proposal, given)

    def call(self, plan: Plan, arguments: Mapping[str, JsonValue]) -> ProposedCall:
        """Return a call with its plan, as it is put to a person."""
        return ProposedCall(self.name, dict(arguments), plan, self.title)

    async def _carry_out(
        self, context: ContextT, proposal: Proposal[ResultT], arguments: JsonObject
    ) -> ResultT:
        try:
            await context.approve(self.call(proposal.plan, arguments), self.effect)
        except MissingApproval as needed:
            if proposal.unapproved is None:
                raise
            return await proposal.unapproved(needed.approval_id)
        return await proposal.carry_out()

    def _checked(self, arguments: Mapping[str, JsonValue]) -> Mapping[str, object]:
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise InvalidArguments(self.name, self._problems(error)) from error
        if slips := list(_slips("", arguments, checked.model_dump())):
            raise InvalidArguments(self.name, slips)
        names = [name for name in type(checked).model_fields if name not in self.options]
        return {name: getattr(checked, name) for name in names}

    async def _propose(
        self,
        context: ContextT,
        values: Mapping[str, object],
        arguments: Mapping[str, JsonValue],
    ) -> Proposal[ResultT]:
        function = typing.cast("Callable[..., Awaitable[typing.Any]]", self._function)
        if not self.proposes:
            summary = f"{self.title}{self._shortened(arguments)}."
            return Proposal(Plan(summary), lambda: self._guarded(function(context, **values)))
        proposal: Proposal[ResultT] = await self._guarded(function(context, **values))
        unapproved = proposal.unapproved
        return Proposal(
            proposal.plan,
            lambda: self._guarded(proposal.carry_out()),
            None if unapproved is None else lambda id: self._guarded(unapproved(id)),
        )

    def _shortened(self, arguments: Mapping[str, JsonValue]) -> str:
        """Return arguments as part of a plan, which a person may be asked about."""
        if self.effect is Effect.READS:
            return ""
        texts = [f"{name} {str(value)[:_SHOWN]!r}" for name, value in arguments.items()]
        return f" ({', '.join(texts)})" if texts else ""

    async def _guarded(self, work: Awaitable[T]) -> T:
        with self._refusing_what_no_record_takes(), one_error():
            return await work

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


class CapabilityMaker:
    """Makes a capability of a typed function."""

    def __init__(self, effect: Effect, title: str, *, sends_out: bool, runs: Runs) -> None:
        self._effect = effect
        self._title = title
        self._sends_out = sends_out
        self._runs = runs

    @overload
    def __call__(
        self, function: Callable[Concatenate[ContextT, P], Awaitable[Proposal[AnswerT]]]
    ) -> Capability[ContextT, P, AnswerT]: ...

    @overload
    def __call__(
        self, function: Callable[Concatenate[ContextT, P], Awaitable[AnswerT]]
    ) -> Capability[ContextT, P, AnswerT]: ...

    def __call__(
        self, function: Callable[Concatenate[ContextT, P], Awaitable[AnswerT | Proposal[AnswerT]]]
    ) -> Capability[ContextT, P, AnswerT]:
        """Return the capability of a function."""
        return Capability(
            function,
            effect=self._effect,
            title=self._title,
            sends_out=self._sends_out,
            runs=self._runs,
        )


def capability(
    *, effect: Effect, title: str, sends_out: bool = False, runs: Runs = Runs.AT_ONCE
) -> CapabilityMaker:
    """Make a capability of a typed function.

    Args:
        effect: What calling it does; becomes annotations and approvals at the doors.
        title: What a person reads, in the imperative: "Draft a specification".
        sends_out: Whether it may send data to an address or folder that the caller names.
        runs: Whether a call through a door is a job.
    """
    return CapabilityMaker(effect, title, sends_out=sends_out, runs=runs)


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
    place = excerpt(".".join(str(part) for part in detail["loc"]))
    match detail["type"]:
        case "extra_forbidden":
            valid = f" It takes: {', '.join(known)}." if known else ""
            return f"Unknown argument '{place}'.{closest(str(detail['loc'][-1]), known)}{valid}"
        case "missing":
            return f"The argument '{place}' is missing."
        case _:
            return _wrong(place, detail["msg"], detail["input"])


def _wrong(place: str, reason: str, given: object) -> str:
    value = excerpt(repr(given), 60)
    return f"The argument '{place}' is wrong: {excerpt(reason)} (given: {value})."


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
        case str() if repair_surrogates(taken) != taken:
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
