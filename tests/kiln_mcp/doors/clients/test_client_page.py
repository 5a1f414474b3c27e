"""The page of client configurations shows what `kiln-mcp install` writes.

python tests/kiln_mcp/doors/clients/test_client_page.py     writes the page again
"""

import tempfile
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from kiln_mcp.doors.clients.client_files import ClientFile, Launch, client_files
from kiln_mcp.doors.clients.registration import plan_entry

ROOT: Final = Path(__file__).parents[4]
PAGE: Final = ROOT / "docs" / "clients.md"
REGENERATE: Final = f"python {Path(__file__).relative_to(ROOT)}"
LAUNCH: Final = Launch("uvx", ("kiln-mcp-server",), (), ("OPENAI_API_KEY",))
PLATFORMS: Final = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}
HEAD: Final = f"""# Configurations of clients

`kiln-mcp install CLIENT` writes these entries ([running.md](running.md#connect-a-client)). Where it
cannot be used, add the entry by hand. This page is generated, and a test holds it true. Write it
again with `{REGENERATE}`.

`uvx` starts the server without an installation of your own; from a checkout or a wheel the
arguments are `--from PATH kiln-mcp`. With an installation, the command is the path of its
`kiln-mcp`, without arguments. `OPENAI_API_KEY` shows how a variable is passed on by its name.

The first start with uvx downloads what the server needs, which is longer than most clients wait. So
run one of these in a terminal first:

    uvx kiln-mcp-server doctor
    uvx kiln-mcp-server install cursor
    uvx 'kiln-mcp-server[embedded]' models pull
    claude mcp add -s user kiln -- uvx kiln-mcp-server
    codex mcp add kiln -- uvx kiln-mcp-server
    gemini mcp add -s user kiln uvx kiln-mcp-server
"""


def page() -> str:
    """Return the text of the page."""
    files = {
        platform: client_files(Path("/~"), {"APPDATA": "/%APPDATA%"}, platform)
        for platform in PLATFORMS
    }
    parts = [HEAD]
    for name, client in files["linux"].items():
        places: dict[str, list[str]] = {}
        for platform, title in PLATFORMS.items():
            places.setdefault(place(files[platform][name].path), []).append(title)
        shown = "; ".join(f"`{path}` ({', '.join(titles)})" for path, titles in places.items())
        if len(places) == 1:
            shown = f"`{next(iter(places))}`"
        kind = "toml" if client.is_toml else "json"
        entry = entry_text(client).strip()
        parts.append(
            f"\n## {client.title}\n\n{shown}. {client.restart}\n\n```{kind}\n{entry}\n```\n"
        )
    return "".join(parts)


def place(path: PurePath) -> str:
    return str(PurePosixPath(*path.parts[1:]))


def entry_text(client: ClientFile) -> str:
    """Return a client's whole file after an installation into an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        new = replace(client, path=Path(folder) / client.path.name)
        return plan_entry(new, LAUNCH).new_content.decode()


def test_the_page_shows_what_an_installation_writes() -> None:
    hint = f"docs/clients.md is stale. Write it again: {REGENERATE}"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
