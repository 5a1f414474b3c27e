"""Everything that the workbench can do, one line each; every door offers exactly this.

Third parties add capabilities through the entry point group `kiln_mcp.capabilities`: each entry
point names a `Capability`. One that cannot be used is named and left out.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol, cast

from pydantic import JsonValue

from kiln_mcp.advice import service as advice
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.evals import service as evals
from kiln_mcp.evaluators.registry import installed_kinds
from kiln_mcp.evolution import service as evolution
from kiln_mcp.jobs import Job, JsonObject
from kiln_mcp.judging import service as judging
from kiln_mcp.operations.job_control import service as operations
from kiln_mcp.operations.job_control.plans import check_plan_growth
from kiln_mcp.operations.models import service as models
from kiln_mcp.operations.work_orders import service as work_orders
from kiln_mcp.projects import service as projects
from kiln_mcp.projects.exchange import service as exchange
from kiln_mcp.projects.history import service as history
from kiln_mcp.projects.records import service as records
from kiln_mcp.projects.runs import service as runs
from kiln_mcp.projects.sharing import service as sharing
from kiln_mcp.run_configs import service as run_configs
from kiln_mcp.settings import Settings
from kiln_mcp.specs import service as specs
from kiln_mcp.synthesis import service as synthesis
from kiln_mcp.tuning import service as tuning
from kiln_mcp.workbench.capability import AnyCapability, Capability
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.text.excerpts import defuse, excerpt

_log = logging.getLogger(__name__)

_OWN: tuple[AnyCapability, ...] = (
    projects.create_project,
    projects.create_task,
    advice.describe_project,
    runs.find_runs,
    runs.read_run,
    runs.rate_run,
    runs.tag_runs,
    runs.repair_run,
    records.find_records,
    records.read_record,
    exchange.import_runs,
    exchange.export_runs,
    exchange.import_project,
    exchange.export_project,
    history.delete_records,
    history.list_trash,
    history.put_back,
    history.empty_trash,
    sharing.share_project,
    sharing.sync_project,
    sharing.decide_question,
    history.show_history,
    history.undo_change,
    specs.draft_spec,
    specs.find_spec_gaps,
    specs.refine_spec,
    synthesis.add_items,
    synthesis.generate_data,
    synthesis.split_data,
    run_configs.create_run_config,
    evals.create_evaluator,
    evals.run_eval,
    evals.compare_run_configs,
    evals.describe_eval,
    judging.next_items_to_label,
    judging.label_items,
    judging.measure_agreement,
    evolution.evolve_prompt,
    operations.wait_for_job,
    operations.cancel_job,
    operations.resume_job,
    operations.list_jobs,
    models.list_models,
    models.test_model,
    work_orders.take_work_orders,
    work_orders.answer_work_orders,
    tuning.freeze_split,
    tuning.export_training_data,
)


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
        return plain(await self.find(name).invoke(workspace, arguments))

    async def carry_out(self, workspace: Workspace, job: Job) -> dict[str, JsonValue]:
        """Carry out the capability of a job, which was approved when the job was started.

        Raises:
            UnknownCapability: No capability has this name any more.
            InvalidArguments: The arguments do not fit it.
            Refusal: Its plan has grown beyond the approved one, and no limit holds it.
        """
        proposal = await self.find(job.capability).propose(workspace, job.arguments)
        check_plan_growth(job, proposal.plan)
        return plain(await proposal.carry_out())

    def open_workspace(self, settings: Settings) -> AbstractAsyncContextManager[Workspace]:
        """Open the workspace of this person, with these capabilities for jobs."""
        return open_workspace(settings, self.carry_out)


class Extension(Protocol):
    """An entry point of the group `kiln_mcp.capabilities`."""

    name: str
    value: str

    def load(self) -> object:
        """Import what it names."""
        ...


def with_extensions(points: Iterable[Extension]) -> Catalogue:
    """Return our own capabilities and those of extensions; name those that cannot be used."""
    items, problems = list(_OWN), list[str]()
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
    catalogue = with_extensions(entry_points(group="kiln_mcp.capabilities"))
    problems = (*catalogue.problems, *installed_kinds().problems)
    for problem in problems:
        _log.warning("%s", problem)
    return replace(catalogue, problems=problems)
