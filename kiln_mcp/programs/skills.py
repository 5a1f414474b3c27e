"""Skills of a project: what a model is told of them, and the tool by which it reads one.

The system prompt lists them by name and description. A body is read when the model asks for it, and
so are the files that it names below `references/` and `assets/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.llm import Tool
from kiln_mcp.programs.errors import cannot_run
from storage import ProjectStore, Skill
from storage.text.excerpts import excerpts

SKILL_ID: Final = "kiln_tool::skill::"
"""How the id of a skill begins among the tools of a run config."""
BODY_FILE: Final = "SKILL.md"
LARGEST_FILE: Final = 256 * 1024
"""Bytes of a file of a skill."""
_FOLDERS: Final = ("references", "assets")
_FENCE: Final = "---\n"

SKILL_TOOL: Final = Tool(
    "skill",
    "Read a skill of the list in the system prompt. Give its name alone first: the answer is what "
    "to do. Give `resource` only for a file that this text names.",
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "resource": {"type": "string"}},
        "required": ["name"],
    },
)


@dataclass(frozen=True, slots=True)
class SkillText:
    """A skill as a model reads it.

    Attributes:
        id: The record's id.
        name: What the model calls it.
        description: What the system prompt says of it.
        body: What it tells the model to do.
        folder: Where its other files lie.
    """

    id: str
    name: str
    description: str
    body: str
    folder: Path


async def read_skills(
    store: ProjectStore, tool_ids: Sequence[str], run_config: str
) -> tuple[SkillText, ...]:
    """Return the skills among the tools of a run config.

    Raises:
        ModelError: One is not there, is archived, has the name of another, or cannot be read.
    """
    ids = [tool.removeprefix(SKILL_ID) for tool in tool_ids if tool.startswith(SKILL_ID)]
    if not ids:
        return ()
    records = {record.id: record for record in await store.children(store.project, Skill)}
    skills: dict[str, SkillText] = {}
    for name in ids:
        record = records.get(name)
        if record is None or record.is_archived:
            ids_in_use = excerpts([r.id for r in records.values() if not r.is_archived]) or "none"
            raise cannot_run(
                run_config,
                f"the project has no skill with the id {name!r} in use; there are: {ids_in_use}.",
            )
        if record.name in skills:
            raise cannot_run(
                run_config, f"two of its skills have the name {record.name!r}. Name one."
            )
        folder = store.side_folder(record)
        text = await anyio.to_thread.run_sync(_read, folder / BODY_FILE)
        if not _body_of(text).strip():
            raise cannot_run(
                run_config,
                f"the skill {record.name!r} has no text in {folder / BODY_FILE}. Write one.",
            )
        skills[record.name] = SkillText(
            record.id, record.name, record.description, _body_of(text), folder
        )
    return tuple(skills.values())


def skills_section(skills: Sequence[SkillText]) -> str:
    """Return what the system prompt says of skills; "" for none."""
    if not skills:
        return ""
    lines = [f"- {skill.name}: {skill.description}" for skill in skills]
    return "\n\n# Skills\n\nRead a skill with the tool `skill` where it may help.\n\n" + "\n".join(
        lines
    )


async def read_skill(skills: Sequence[SkillText], arguments: Mapping[str, JsonValue]) -> str:
    """Return the body of a skill or one of its files, or what is wrong with the call."""
    skill = next((skill for skill in skills if skill.name == arguments.get("name")), None)
    if skill is None:
        return f"Error: there is no such skill; there are: {excerpts([s.name for s in skills])}."
    resource = arguments.get("resource")
    if not resource:
        return skill.body
    path = PurePosixPath(str(resource))
    file = skill.folder / path
    is_inside = path.parts[0] in _FOLDERS and file.resolve().is_relative_to(skill.folder.resolve())
    text = await anyio.to_thread.run_sync(_read, file) if is_inside else ""
    return text or f"Error: the skill {skill.name!r} has no file {str(resource)!r}."


def _read(file: Path) -> str:
    """Return the text of a file; "" if it is none, or too large."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_FILE:
            return ""
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _body_of(text: str) -> str:
    """Return what stands below the front matter of a file."""
    if not text.startswith(_FENCE):
        return text
    _, fence, body = text.removeprefix(_FENCE).partition(f"\n{_FENCE}")
    return body.lstrip("\n") if fence else text
