"""Everything that the workbench can do, one line each; every door offers exactly this.

Third parties add capabilities through the entry point group `kiln_mcp.capabilities`: each entry
point names a `Capability`.
"""

from dataclasses import dataclass
from importlib.metadata import entry_points

from kiln_mcp.capability import AnyCapability
from kiln_mcp.errors import UnknownCapability
from kiln_mcp.evals import service as evals
from kiln_mcp.evolution import service as evolution
from kiln_mcp.judging import service as judging
from kiln_mcp.projects import service as projects
from kiln_mcp.specs import service as specs
from kiln_mcp.synthesis import service as synthesis
from kiln_mcp.tuning import service as tuning

_OWN: tuple[AnyCapability, ...] = (
    projects.create_project,
    projects.create_task,
    projects.describe_project,
    specs.draft_spec,
    specs.find_spec_gaps,
    specs.refine_spec,
    synthesis.add_items,
    synthesis.generate_data,
    synthesis.split_data,
    evals.create_run_config,
    evals.create_evaluator,
    evals.run_eval,
    evals.compare_run_configs,
    evals.describe_eval,
    judging.next_items_to_label,
    judging.label_items,
    judging.measure_agreement,
    evolution.evolve_prompt,
    tuning.freeze_split,
    tuning.export_training_data,
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The capabilities that a door offers, in the order in which they are shown."""

    capabilities: tuple[AnyCapability, ...]

    def find(self, name: str) -> AnyCapability:
        """Return the capability of this name, written with hyphens or underscores.

        Raises:
            UnknownCapability: There is none.
        """
        wanted = name.replace("-", "_")
        for item in self.capabilities:
            if item.name == wanted:
                return item
        raise UnknownCapability(name, [item.name for item in self.capabilities])


def installed_catalogue() -> Catalogue:
    """Return our own capabilities and those of installed extensions."""
    found: tuple[AnyCapability, ...] = tuple(
        point.load() for point in entry_points(group="kiln_mcp.capabilities")
    )
    return Catalogue(_OWN + found)
