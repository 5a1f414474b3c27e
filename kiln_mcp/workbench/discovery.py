"""How people and assistants find a capability: its tool set, its heading, and the users' words."""

from dataclasses import dataclass
from enum import StrEnum


class Toolset(StrEnum):
    """A set of tools that a client shows its model; the default one is always there."""

    DEFAULT = "default"
    TEAM = "team"
    """Work with others, history and trash."""
    ADMIN = "admin"
    """Rare work on tasks, models and jobs."""


class Heading(StrEnum):
    """The headings of the command line's help, in their order."""

    PROJECTS = "Projects"
    SPECS = "Specs"
    DATA = "Data"
    EVALS = "Evals"
    JUDGES = "Judges"
    PROMPTS = "Prompts"
    TUNING = "Tuning"
    JOBS = "Jobs"
    TEAM = "Team"
    MODELS = "Models"
    EXTENSIONS = "Extensions"


@dataclass(frozen=True, slots=True)
class Discovery:
    """How a capability is found.

    Attributes:
        heading: Where the command line's help lists it.
        search_hint: Words that users say for it and that its name and help do not have.
        toolset: The set of tools that it belongs to.
        always_load: Whether clients that show only names at first should show it in full.
        alternatives: Arguments of which a call needs one; next steps name them.
    """

    heading: Heading = Heading.EXTENSIONS
    search_hint: str = ""
    toolset: Toolset = Toolset.DEFAULT
    always_load: bool = False
    alternatives: tuple[str, ...] = ()
