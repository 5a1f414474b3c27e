"""Everything that the workbench can do, one line each; every door offers exactly this.

A room is imported when its capability is looked up by name, so that a command starts without the
rooms of all others. `installed_catalogue` imports all of them.

Third parties add capabilities through the entry point group `kiln_mcp.capabilities`: each entry
point names a `Capability`. One that cannot be used is named and left out.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from pydantic import JsonValue

from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.jobs import Job, JsonObject
from kiln_mcp.operations.job_control.next_steps import complete_answer, complete_errors
from kiln_mcp.operations.job_control.plans import check_plan_growth
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import AnyCapability, Capability
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.needs import Needs, NeedsOf
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.text.excerpts import defuse, excerpt

_log = logging.getLogger(__name__)

_OWN: Final[Mapping[str, str]] = {
    "describe_project": "kiln_mcp.advice.service",
    "create_project": "kiln_mcp.projects.service",
    "change_task": "kiln_mcp.projects.service",
    "find": "kiln_mcp.projects.records.service",
    "read": "kiln_mcp.projects.records.service",
    "build_spec": "kiln_mcp.specs.service",
    "add_data": "kiln_mcp.synthesis.service",
    "generate_data": "kiln_mcp.synthesis.generation_service",
    "split_data": "kiln_mcp.synthesis.service",
    "report_data": "kiln_mcp.synthesis.report_service",
    "mark_runs": "kiln_mcp.projects.runs.service",
    "create_evaluator": "kiln_mcp.evals.service",
    "run_eval": "kiln_mcp.evals.service",
    "show_results": "kiln_mcp.evals.results.service",
    "draw_items_to_label": "kiln_mcp.judging.service",
    "label_items": "kiln_mcp.judging.service",
    "check_judge": "kiln_mcp.judging.service",
    "verify_certificate": "kiln_mcp.judging.certificates.service",
    "improve_judge": "kiln_mcp.judging.refinement.service",
    "create_run_config": "kiln_mcp.run_configs.service",
    "improve_prompt": "kiln_mcp.evolution.service",
    "improve_prompt_for_models": "kiln_mcp.evolution.service",
    "show_prompt_search": "kiln_mcp.evolution.service",
    "explain_prompt": "kiln_mcp.evolution.service",
    "export": "kiln_mcp.tuning.service",
    "train_model": "kiln_mcp.tuning.service",
    "sweep_trainings": "kiln_mcp.tuning.sweep_service",
    "distil_model": "kiln_mcp.tuning.distillation_service",
    "check_job": "kiln_mcp.operations.job_control.service",
    "stop_job": "kiln_mcp.operations.job_control.service",
    "resume_job": "kiln_mcp.operations.job_control.service",
    "answer_work_orders": "kiln_mcp.operations.work_orders.service",
    "sync_project": "kiln_mcp.projects.collaboration.service",
    "decide_conflict": "kiln_mcp.projects.collaboration.service",
    "settle_copy": "kiln_mcp.projects.collaboration.copies",
    "show_history": "kiln_mcp.projects.history.service",
    "undo_change": "kiln_mcp.projects.history.service",
    "delete_records": "kiln_mcp.projects.history.service",
    "restore": "kiln_mcp.projects.history.service",
    "empty_trash": "kiln_mcp.projects.history.service",
    "list_models": "kiln_mcp.operations.models.service",
    "test_model": "kiln_mcp.operations.models.service",
}
"""The module of each of our own capabilities, whose name is the attribute of the module."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The capabilities that a door offers, in the order in which they are shown.

    Attributes:
        capabilities: All of them.
        problems: A sentence for each extension that could not be used.
    """

    capabilities: tuple[AnyCapability, ...]
    problems: tuple[str, ...] = ()

    def find(self, name: str) -> AnyCapability:
        """Return the capability of this name, written with hyphens or underscores.

        Raises:
            UnknownCapability: There is none.
        """
        tool = name.replace("-", "_")
        for item in self.capabilities:
            if item.name == tool:
                return item
        raise UnknownCapability(name, [item.name for item in self.capabilities])

    async def perform(
        self, workspace: Workspace, name: str, arguments: JsonObject
    ) -> dict[str, JsonValue]:
        """Call a capability by its name from Python; approval is the workspace's matter.

        Raises:
            UnknownCapability: There is none.
            InvalidArguments: The arguments do not fit it.
            MissingApproval: A person must agree first.
        """
        needs = partial(needs_of, find=self.find)
        with complete_errors(arguments, needs):
            answer = plain(await self.find(name).invoke(workspace, arguments))
        return complete_answer(answer, arguments, needs)

    async def carry_out(self, workspace: Workspace, job: Job) -> dict[str, JsonValue]:
        """Carry out the capability of a job, which was approved when the job was started.

        Raises:
            UnknownCapability: No capability has this name any more.
            InvalidArguments: The arguments do not fit it.
            Refusal: Its plan has grown beyond the approved one, and no limit holds it.
        """
        return await _carry_out(self.find, workspace, job)

    def open_workspace(self, settings: Settings) -> AbstractAsyncContextManager[Workspace]:
        """Open the workspace of this person, with these capabilities for jobs."""
        return _open(self.find, settings, partial(needs_of, find=self.find))


def find_capability(name: str) -> AnyCapability:
    """Return an installed capability by its name; of our own, only its room is imported.

    Raises:
        UnknownCapability: There is none.
    """
    tool = name.replace("-", "_")
    return _own_capability(tool) if tool in _OWN else installed_catalogue().find(name)


def open_own_workspace(
    settings: Settings, own_needs: NeedsOf | None = None
) -> AbstractAsyncContextManager[Workspace]:
    """Open the workspace of this person; a job's room is imported when the job runs.

    Args:
        settings: The settings of this process.
        own_needs: Returns what a capability needs; None to import its room for that.
    """
    return _open(find_capability, settings, own_needs or needs_of)


def needs_of(tool: str, find: Callable[[str], AnyCapability] = find_capability) -> Needs:
    """Return what a capability needs; nothing for one that is no longer installed."""
    try:
        return find(tool).needs
    except UnknownCapability:
        return ()


def _open(
    find: Callable[[str], AnyCapability], settings: Settings, own_needs: NeedsOf
) -> AbstractAsyncContextManager[Workspace]:
    carry_out, estimate = partial(_carry_out, find), partial(_estimate, find)
    return open_workspace(settings, carry_out, estimate=estimate, needs_of=own_needs)


def _own_capability(name: str) -> AnyCapability:
    return cast("AnyCapability", getattr(import_module(_OWN[name]), name))


async def _carry_out(
    find: Callable[[str], AnyCapability], workspace: Workspace, job: Job
) -> dict[str, JsonValue]:
    """Carry out the capability of an approved job; its name is looked up with `find`."""
    with complete_errors(job.arguments, workspace.needs_of):
        proposal = await find(job.capability).propose(workspace, job.arguments)
        check_plan_growth(job, proposal.plan)
        answer = plain(await proposal.carry_out())
    return complete_answer(answer, job.arguments, workspace.needs_of)


async def _estimate(
    find: Callable[[str], AnyCapability], workspace: Workspace, tool: str, arguments: JsonObject
) -> Plan | None:
    """Return the plan of a capability that asks models; None for one that asks none."""
    item = find(tool)
    return (await item.propose(workspace, arguments)).plan if item.effect is Effect.SPENDS else None


class Extension(Protocol):
    """An entry point of the group `kiln_mcp.capabilities`."""

    name: str
    value: str

    def load(self) -> object:
        """Import what it names."""
        ...


def with_extensions(points: Iterable[Extension]) -> Catalogue:
    """Return our own capabilities and those of extensions; name those that cannot be used."""
    items, problems = [_own_capability(name) for name in _OWN], list[str]()
    for point in points:
        try:
            items.append(_usable(point.load(), items))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is foreign code
            reason = str(error) if type(error) is TypeError else f"{type(error).__name__}: {error}"
            problems.append(
                f"The extension '{excerpt(point.name)}' ({excerpt(point.value)}) is left out: "
                f"{excerpt(defuse(reason))}. Update or uninstall it; all else works."
            )
    return Catalogue(tuple(items), tuple(problems))


def _usable(item: object, capabilities: Sequence[AnyCapability]) -> AnyCapability:
    """Return the capability of an extension, if a door can offer it.

    Args:
        item: What the extension names.
        capabilities: Those that the catalogue has already.

    Raises:
        TypeError: It is no capability, or another one has its name.
    """
    if not isinstance(item, Capability):
        raise TypeError(f"it names a {type(item).__name__}, not a capability")
    capability = cast("AnyCapability", item)
    if any(own.name == capability.name for own in capabilities):
        raise TypeError(f"there is a capability {capability.name!r} already")
    _ = capability.input_schema, capability.result  # a signature that cannot be read fails here
    return capability


@cache
def installed_catalogue() -> Catalogue:
    """Return our own capabilities and those of installed extensions, loaded once."""
    from kiln_mcp.evaluators.registry import installed_kinds

    catalogue = with_extensions(entry_points(group="kiln_mcp.capabilities"))
    problems = (*catalogue.problems, *installed_kinds().problems)
    for problem in problems:
        _log.warning("%s", problem)
    return replace(catalogue, problems=problems)
