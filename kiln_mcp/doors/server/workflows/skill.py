"""A workflow as a skill: a folder with a SKILL.md that assistants read when they need it.

Source: the Agent Skills format, and SEP-2640 for its addresses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from kiln_mcp.doors.server.workflows.workflow import Workflow, load_workflows

PREFIX: Final = "kiln-"
"""Begins each name, so that our skills stand beside those of others in one folder."""
FILE_NAME: Final = "SKILL.md"
_REFERENCE: Final = re.compile(r"(?<=the workflow )`(\w+)`")
_TOOLS: Final = "The tools named here are those of the MCP server kiln-mcp."


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill.

    Attributes:
        name: Its name, which is its folder's name too.
        title: The name for people.
        description: What it is good for, and when to use it.
        body: The steps, as Markdown.
    """

    name: str
    title: str
    description: str
    body: str

    @property
    def uri(self) -> str:
        """The address of its file."""
        return f"skill://{self.name}/{FILE_NAME}"

    @property
    def frontmatter(self) -> Mapping[str, str]:
        """The head of its file."""
        return {"name": self.name, "description": self.description}

    @property
    def text(self) -> str:
        """The text of its file."""
        head = "".join(
            # A JSON string is a YAML string.
            f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
            for key, value in self.frontmatter.items()
        )
        return f"---\n{head}---\n\n{self.body.strip()}\n\n{_TOOLS}\n"

    @property
    def content(self) -> bytes:
        """The bytes of its file."""
        return self.text.encode()

    @property
    def digest(self) -> str:
        """The digest of its file, as the extension writes it."""
        return f"sha256:{sha256(self.content).hexdigest()}"


def load_skills() -> tuple[Skill, ...]:
    """Return all workflows as skills; where they name one another, they name skills."""
    workflows = load_workflows()
    names = {workflow.name: _skill_name(workflow) for workflow in workflows}

    def rename(text: str) -> str:
        return _REFERENCE.sub(lambda match: f"`{names.get(match[1], match[1])}`", text)

    return tuple(
        Skill(names[item.name], item.title, item.description, rename(item.body))
        for item in workflows
    )


def _skill_name(workflow: Workflow) -> str:
    return f"{PREFIX}{workflow.name.replace('_', '-')}"
