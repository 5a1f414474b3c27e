"""The extension io.modelcontextprotocol/skills: the workflows, for clients that load skills.

A skill's file is a resource as well, so that other clients can read it too.

Source: SEP-2640 of 2026-09-13.
"""

from typing import Final

import mcp_types as types
from mcp.server.context import HandlerResult
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue

from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.workflows import Skill, load_skills
from kiln_mcp.workbench.workspace import Workspace
from storage.text.excerpts import excerpt, excerpts

SKILLS: Final = "io.modelcontextprotocol/skills"
SCHEME: Final = "skill://"
MIME_TYPE: Final = "text/markdown"
TTL_MS: Final = 5 * 60_000
"""How long clients may keep a list that changes with the server's version alone."""


class SkillParams(types.RequestParams):
    """The parameters that name a skill."""

    uri: str


def install_skills(server: Server[Workspace]) -> None:
    """Add the extension to a server."""
    server.extensions[SKILLS] = {}
    server.add_request_handler("skills/list", types.PaginatedRequestParams, list_skills)
    server.add_request_handler("skills/get", SkillParams, get_skill)


async def list_skills(context: Context, params: types.PaginatedRequestParams) -> HandlerResult:
    """List the skills."""
    return _cacheable({"skills": [_entry(skill) for skill in load_skills()]})


async def get_skill(context: Context, params: SkillParams) -> HandlerResult:
    """Return a skill by the address of its file.

    Raises:
        MCPError: There is no such skill.
    """
    return _cacheable({"skill": _entry(find_skill(params.uri))})


def find_skill(uri: str) -> Skill:
    """Return the skill whose file has this address.

    Raises:
        MCPError: There is none.
    """
    skills = {skill.uri: skill for skill in load_skills()}
    if uri not in skills:
        sentence = f"There is no skill {excerpt(uri)!r}. The skills are: {excerpts(skills)}."
        raise MCPError(types.INVALID_PARAMS, sentence, {"uri": excerpt(uri)})
    return skills[uri]


def skill_resources() -> list[types.Resource]:
    """Return the files of the skills as resources."""
    return [
        types.Resource(
            uri=skill.uri,
            name=skill.name,
            title=skill.title,
            description=skill.description,
            mime_type=MIME_TYPE,
            size=len(skill.content),
        )
        for skill in load_skills()
    ]


def read_skill(uri: str) -> types.ReadResourceResult:
    """Return the file of a skill.

    Raises:
        MCPError: There is no such skill.
    """
    text = find_skill(uri).text
    contents = types.TextResourceContents(uri=uri, mime_type=MIME_TYPE, text=text)
    return types.ReadResourceResult(contents=[contents])


def _entry(skill: Skill) -> dict[str, JsonValue]:
    file: JsonValue = {"uri": skill.uri, "digest": skill.digest, "size": len(skill.content)}
    return {"uri": skill.uri, "frontmatter": dict(skill.frontmatter), "resources": [file]}


def _cacheable(result: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"resultType": "complete", "ttlMs": TTL_MS, "cacheScope": "public", **result}
