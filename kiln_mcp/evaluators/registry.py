"""The kinds of evaluators: those of the room `kinds`, and those of installed extensions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from types import ModuleType
from typing import Final, Protocol

from pydantic import TypeAdapter

from kiln_mcp.evaluators import kinds as kinds_room
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    Evaluator,
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
)
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import CodeEval, EvalConfig, ProjectStore
from storage.errors import NextStep
from storage.records.workbench_checks import (
    CHECK_KEY,
    ExtensionProperties,
    WorkbenchCheck,
    is_extension_type,
)
from storage.text.excerpts import LONGEST_REASON, defuse, excerpt

GROUP: Final = "kiln_mcp.evaluators"
"""The group of entry points by which other distributions offer kinds."""

_STEPS_JUDGE: Final = "steps"
"""The kind of the older judges, whose records have no `type`."""


class EvaluatorExtension(Protocol):
    """An entry point of the group."""

    name: str
    value: str

    def load(self) -> object:
        """Import the object that it names."""
        ...


@dataclass(frozen=True, slots=True)
class EvaluatorKinds:
    """The kinds by name, and a sentence for each extension that cannot be used."""

    by_name: Mapping[str, EvaluatorKind]
    problems: tuple[str, ...] = ()

    def of(self, record: EvalConfig) -> EvaluatorKind | None:
        """Return the kind of a record; None if it is not installed."""
        return self.by_name.get(kind_name(record))

    def open(self, record: EvalConfig) -> Evaluator:
        """Return the evaluator of a record; one of a kind that is not installed refuses to run."""
        kind = self.of(record)
        if kind is None:
            return MissingKind(record.name, kind_name(record))
        return kind.open(_as_extension_sees(record))


def _as_extension_sees(record: EvalConfig) -> EvalConfig:
    """Return the record of an extension with its own properties; any other one as it is."""
    match record.properties:
        case WorkbenchCheck(kiln_mcp_check=ExtensionProperties() as properties):
            return record.replace(properties=properties)
        case _:
            return record


@dataclass(frozen=True, slots=True)
class MissingKind:
    """An evaluator of a kind that is not installed."""

    name: str
    kind: str
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Refuse to run.

        Raises:
            EvalError: Always.
        """
        del case, context
        raise EvalError(
            f"The evaluator {self.name!r} is of kind {self.kind}, which does not run here. Install "
            "the extension that offers it, or use another evaluator.",
            next=[NextStep(tool="create_evaluator", reason="create another")],
        )


def discover_kinds(room: ModuleType) -> dict[str, EvaluatorKind]:
    """Return the `KIND` of each module of a package, by name.

    Raises:
        TypeError: A module has no kind, or its name is in use.
    """
    kinds: dict[str, EvaluatorKind] = {}
    for module in iter_modules(room.__path__):
        kind = getattr(import_module(f"{room.__name__}.{module.name}"), "KIND", None)
        if not isinstance(kind, EvaluatorKind) or kind.name in kinds:
            raise TypeError(f"{room.__name__}.{module.name} has no KIND with a name of its own")
        kinds[kind.name] = kind
    return kinds


def with_extensions(points: Iterable[EvaluatorExtension]) -> EvaluatorKinds:
    """Return our own kinds and those of extensions; name those that cannot be used."""
    kinds, problems = discover_kinds(kinds_room), list[str]()
    for point in points:
        try:
            kind = _usable(point.load(), kinds)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is foreign code
            reason = str(error) if type(error) is TypeError else f"{type(error).__name__}: {error}"
            problems.append(
                f"The evaluator extension '{excerpt(point.name)}' ({excerpt(point.value)}) is left "
                f"out: {excerpt(defuse(reason))}. Update or uninstall it; all else works."
            )
        else:
            kinds[kind.name] = kind
    return EvaluatorKinds(kinds, tuple(problems))


def _usable(item: object, kinds: Mapping[str, EvaluatorKind]) -> EvaluatorKind:
    """Return the kind of an extension, if its records can be stored and its arguments shown.

    Raises:
        TypeError: It is no kind, its name is in use or has no vendor, or its type is another.
    """
    if not isinstance(item, EvaluatorKind):
        raise TypeError(f"it names a {type(item).__name__}, not an EvaluatorKind")
    if item.name in kinds:
        raise TypeError(f"there is a kind {item.name!r} already")
    if not is_extension_type(item.name):
        raise TypeError(f"its kind {item.name!r} is not named <vendor>.<kind>")
    if item.definition is not None:
        schema = TypeAdapter(item.definition).json_schema()
        if schema["properties"].get("type", {}).get("const") != item.name:
            raise TypeError(f"its definition has no type: Literal[{item.name!r}]")
    return item


@cache
def installed_kinds() -> EvaluatorKinds:
    """Return our own kinds and those of installed extensions, runnable_record once."""
    return with_extensions(entry_points(group=GROUP))


def kind_name(record: EvalConfig) -> str:
    """Return the name of a record's kind; the older judges have no `type`."""
    if isinstance(record.properties, WorkbenchCheck):
        return record.properties.kiln_mcp_check.type
    return str(getattr(record.properties, "type", _STEPS_JUDGE))


def evaluator_of(record: EvalConfig) -> Evaluator:
    """Return the evaluator of a record."""
    return installed_kinds().open(record)


def is_tried(record: EvalConfig) -> bool:
    """Return whether a record's evaluator is tried on right answers before a run."""
    kind = installed_kinds().of(record)
    return kind is not None and kind.is_tried


async def load_evaluator(
    workspace: Workspace, store: ProjectStore, record: EvalConfig
) -> EvalConfig:
    """Return a record with what lies in files beside it, as it is needed to run.

    Raises:
        Refusal: The evaluator is code, and the person has not trusted the folder.
        EvalError: A file cannot be read.
    """
    kind = installed_kinds().of(record)
    plain_record = _as_extension_sees(record)
    runnable_record = await kind.load(workspace, store, plain_record) if kind else record
    check = _check_in_code(runnable_record)
    if check is None:
        return runnable_record
    return await load_evaluator(workspace, store, record.replace(properties=check))


def _check_in_code(record: EvalConfig) -> WorkbenchCheck | None:
    """Return the check that Kiln took for code, because it saved the record without its settings.

    Raises:
        EvalError: The settings in its file cannot be used.
    """
    if not isinstance(record.properties, CodeEval):
        return None
    try:
        return WorkbenchCheck.from_code(record.properties.code or "")
    except ValueError as error:
        raise EvalError(
            f"The settings in scorer.py of the evaluator {record.name!r} cannot be used: "
            f"{excerpt(str(error), LONGEST_REASON)}. Create the evaluator again.",
            next=[NextStep(tool="create_evaluator", reason="create another")],
        ) from error


async def make_evaluator(
    name: str | None, definition: EvaluatorDefinition, model: str
) -> EvalConfig:
    """Return a new evaluator's record, named after its kind without a name.

    Raises:
        EvalError: Its expression, pattern, template or code is not valid.
    """
    await definition.check_logic()
    properties = definition.properties(model)
    if is_extension_type(str(properties["type"])):  # Kiln opens no evaluator of another type
        properties = {"type": "code_eval", CHECK_KEY: dict(properties)}
    record = EvalConfig.model_validate(
        {"name": name or "new", "config_type": "v2", "properties": properties}
    )
    default = kind_name(record).replace("_", " ").replace(".", " ")
    return record if name else record.replace(name=default)
