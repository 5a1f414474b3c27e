"""The capability mechanism: one typed function, reached by every door.

A capability is a typed `async def` whose first parameter is the context of the call and whose
other parameters are its arguments. The signature is the schema, the docstring the help, and the
effect says what a call may spend, destroy or send out.

What spends, destroys or sends data out returns a `Proposal`: a plan, and the function that carries
it out. The other capabilities return their result. No argument is ever an approval: `approval_id`
only names one that a person gave elsewhere.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from types import UnionType
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from pydantic import BaseModel, ConfigDict, JsonValue, RootModel, ValidationError, create_model
from pydantic_core import to_jsonable_python

from kiln_mcp.approvals.approval import ProposedCall
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.errors import InvalidArguments, one_error
from kiln_mcp.workbench.argument_schemas import schema_of
from kiln_mcp.workbench.arguments import argument_problems, unintended_values
from kiln_mcp.workbench.call_options import LIMIT_OPTIONS, CallOptions
from kiln_mcp.workbench.discovery import Discovery, Heading, Toolset
from kiln_mcp.workbench.lenient_arguments import as_meant
from kiln_mcp.workbench.missing_records import calls_that_help
from kiln_mcp.workbench.needs import Needs
from kiln_mcp.workbench.proposal import CallContext, JsonObject, Proposal, Result, Runs
from storage import records
from storage.errors import InvalidValue, RecordNotFound
from storage.records.record import Part, Record, first_fault
from storage.text.kind_words import kind_word

__all__ = [
    "AnyCapability",
    "CallContext",
    "Capability",
    "Discovery",
    "Effect",
    "Heading",
    "JsonObject",
    "Plan",
    "Proposal",
    "Result",
    "Runs",
    "Toolset",
    "capability",
]


ContextT = TypeVar("ContextT", bound=CallContext)
ResultT = TypeVar("ResultT", bound=BaseModel, covariant=True)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")

_EXTENSION: Final = Discovery()
"""How a capability is found that says nothing about it."""
_LONGEST_ARGUMENT: Final = 60
"""Characters of an argument in the plan of a call that only writes."""


class Capability(Generic[ContextT, P, ResultT]):
    """A typed function with an effect, callable from Python as it was written.

    Attributes:
        name: The verb phrase by which every door knows it.
        title: The name for people, on a button or in an approval.
        effect: The effect of a call.
        sends_out: Whether it may send data to an address or folder that the caller names.
        runs: Whether a call through a door is a job.
        discovery: How assistants find it.
    """

    def __init__(
        self,
        function: Callable[Concatenate[ContextT, P], Awaitable[ResultT | Proposal[ResultT]]],
        *,
        effect: Effect,
        title: str,
        sends_out: bool = False,
        runs: Runs = Runs.AT_ONCE,
        discovery: Discovery = _EXTENSION,
    ) -> None:
        self._function = function
        self.name = getattr(function, "__name__", title)
        self.title = title
        self.effect = effect
        self.sends_out = sends_out
        self.runs = runs
        self.discovery = discovery

    async def __call__(self, context: ContextT, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Propose, have the plan approved by the context, and carry it out: Python's door.

        Raises:
            WorkbenchError: A person must approve it first, or declined; or the work failed.
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
        if self.effect is Effect.READS:
            return ("detail",)
        approval = ("approval_id",) if self.proposes else ()
        return (
            (*approval, "wait_s", *LIMIT_OPTIONS.values()) if self.runs is Runs.AS_JOB else approval
        )

    @cached_property
    def proposes(self) -> bool:
        """Whether it returns a proposal, which may need approval."""
        return typing.get_origin(self._return_annotation) is Proposal

    @property
    def _return_annotation(self) -> object:
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
    def needs(self) -> Needs:
        """What a call has to give, but for one with an approval's id: one of each group."""
        fields = self.arguments.model_fields.items()
        required = tuple((name,) for name, field in fields if field.is_required())
        alternatives = self.discovery.alternatives
        return (*required, alternatives) if alternatives else required

    @cached_property
    def result(self) -> type[BaseModel]:
        """The model of the answer; if there are several kinds of it, of all of them."""
        inner = typing.get_args(self._return_annotation)
        annotation = inner[0] if self.proposes else self._return_annotation
        is_union = typing.get_origin(annotation) in {typing.Union, UnionType}
        kinds = typing.get_args(annotation) if is_union else (annotation,)
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
                raise TypeError(f"{self.name} must return a pydantic model, not {annotation!r}")
        model: type[BaseModel] = RootModel[annotation] if is_union else kinds[0]  # pyright: ignore[reportAssignmentType]
        return model

    @cached_property
    def input_schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the arguments; an argument that may be null may be left out instead.

        If an approval's id may stand for all arguments, none is required; an error names those
        that are missing.
        """
        schema = schema_of(self.arguments)
        if self.proposes:
            schema.pop("required", None)
        return schema

    def separate_options(
        self, arguments: Mapping[str, JsonValue]
    ) -> tuple[JsonObject, CallOptions]:
        """Return the arguments as they are meant, without nulls and options, and the options.

        Raises:
            InvalidArguments: An option is of the wrong kind.
        """
        values = as_meant(
            self.arguments,
            {name: value for name, value in arguments.items() if value is not None},
        )
        options = {name: values.pop(name) for name in self.options if name in values}
        try:
            return values, CallOptions.model_validate(options)
        except ValidationError as error:
            raise self._invalid(error) from error

    async def propose(
        self, context: ContextT, arguments: Mapping[str, JsonValue]
    ) -> Proposal[ResultT]:
        """Validate the arguments and return what the call would do; nothing is done yet.

        Raises:
            InvalidArguments: An argument is unknown, missing or of the wrong kind.
            Refusal: A record made of the arguments breaks a rule of its kind.
        """
        return await self._propose(context, self._validate(arguments), arguments)

    async def invoke(self, context: ContextT, arguments: Mapping[str, JsonValue]) -> ResultT:
        """Call it with JSON arguments; the context decides about approval.

        Raises:
            InvalidArguments: An argument is unknown, missing or of the wrong kind.
            Refusal: A record made of the arguments breaks a rule of its kind.
            WorkbenchError: A person must approve it first, or declined; or the work failed.
        """
        values, _ = self.separate_options(arguments)
        proposal = await self.propose(context, values)
        return await self._carry_out(context, proposal, values)

    def _invalid(self, error: ValidationError) -> InvalidArguments:
        return InvalidArguments(self.name, argument_problems(error, self.input_schema))

    def call(self, plan: Plan, arguments: Mapping[str, JsonValue]) -> ProposedCall:
        """Return a call with its plan, for approval."""
        return ProposedCall(self.name, dict(arguments), plan, self.title)

    async def _carry_out(
        self, context: ContextT, proposal: Proposal[ResultT], arguments: JsonObject
    ) -> ResultT:
        try:
            await context.approve(self.call(proposal.plan, arguments), self.effect)
        except MissingApproval as error:
            if proposal.before_approval is None:
                raise
            return await proposal.before_approval(error.approval_id)
        return await proposal.carry_out()

    def _validate(self, arguments: Mapping[str, JsonValue]) -> Mapping[str, object]:
        try:
            values = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise self._invalid(error) from error
        if problems := list(unintended_values(arguments, values.model_dump())):
            raise InvalidArguments(self.name, problems)
        names = [name for name in type(values).model_fields if name not in self.options]
        return {name: getattr(values, name) for name in names}

    async def _propose(
        self,
        context: ContextT,
        values: Mapping[str, object],
        arguments: Mapping[str, JsonValue],
    ) -> Proposal[ResultT]:
        function = typing.cast("Callable[..., Awaitable[typing.Any]]", self._function)
        if not self.proposes:
            summary = f"{self.title}{self._argument_excerpts(arguments)}."
            return Proposal(
                Plan(summary), lambda: self._run(function(context, **values), arguments)
            )
        proposal: Proposal[ResultT] = await self._run(function(context, **values), arguments)
        partial_work = proposal.before_approval
        return Proposal(
            proposal.plan,
            lambda: self._run(proposal.carry_out(), arguments),
            None if partial_work is None else lambda id: self._run(partial_work(id), arguments),
        )

    def _argument_excerpts(self, arguments: Mapping[str, JsonValue]) -> str:
        """Return excerpts of the arguments for the plan of a call that only writes."""
        if self.effect is Effect.READS:
            return ""
        texts = [f"{name} {str(value)[:_LONGEST_ARGUMENT]!r}" for name, value in arguments.items()]
        return f" ({', '.join(texts)})" if texts else ""

    async def _run(self, work: Awaitable[T], arguments: Mapping[str, JsonValue]) -> T:
        try:
            with self._record_errors(), one_error():
                return await work
        except RecordNotFound as error:
            if steps := calls_that_help(error, arguments):
                raise error.with_next(steps) from error
            raise

    @contextmanager
    def _record_errors(self) -> Generator[None]:
        """Raise the faults of records as sentences; those of other models are our own mistakes."""
        try:
            yield
        except ValidationError as error:
            kind = getattr(records, error.title, None)
            if not (isinstance(kind, type) and issubclass(kind, Part)):
                raise
            word = kind_word(kind.type_name()) if issubclass(kind, Record) else error.title
            raise InvalidValue(
                "{capability} stopped: this {kind} cannot be saved: {reason}. Give another value "
                "and call again; what was saved before stays.",
                capability=self.name,
                kind=word,
                reason=first_fault(error),
            ) from error


AnyCapability = Capability[typing.Any, ..., BaseModel]
"""A capability whose arguments are typed at run time only."""


class CapabilityDecorator:
    """Makes a capability of the function that it decorates."""

    def __init__(
        self, effect: Effect, title: str, *, sends_out: bool, runs: Runs, discovery: Discovery
    ) -> None:
        self._effect = effect
        self._title = title
        self._sends_out = sends_out
        self._runs = runs
        self._discovery = discovery

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
            discovery=self._discovery,
        )


def capability(
    *,
    effect: Effect,
    title: str,
    sends_out: bool = False,
    runs: Runs = Runs.AT_ONCE,
    discovery: Discovery = _EXTENSION,
) -> CapabilityDecorator:
    """Make a capability of a typed function.

    Args:
        effect: What calling it does; becomes annotations and approvals at the doors.
        title: What a person reads, in the imperative: "Draft a spec".
        sends_out: Whether it may send data to an address or folder that the caller names.
        runs: Whether a call through a door is a job.
        discovery: How people and assistants find it.
    """
    return CapabilityDecorator(effect, title, sends_out=sends_out, runs=runs, discovery=discovery)
