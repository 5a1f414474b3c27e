"""The workflows: what a person asks an assistant for, as steps that name our tools.

Each is a Markdown file of this folder with a few lines of front matter. A door offers them as
prompts, which clients show as slash commands, and as skills.
"""

from kiln_mcp.doors.server.workflows.skill import FILE_NAME, Skill, load_skills
from kiln_mcp.doors.server.workflows.workflow import Workflow, load_workflows

__all__ = ["FILE_NAME", "Skill", "Workflow", "load_skills", "load_workflows"]
