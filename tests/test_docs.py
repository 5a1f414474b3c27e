"""Files and folders that the documentation names are there."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "benchmarks/**/README.md")
PLACE = re.compile(r"(?:kiln_mcp|agent|storage|tests|docs|benchmarks|\.ci)(?:/[\w.*{}-]+)*/?")


def places() -> Iterator[tuple[Path, str]]:
    """Yield each place of the repository that a page names, with the page."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            for quoted in re.findall(r"`([^`\s]+)`", page.read_text(encoding="utf-8")):
                if "/" in quoted and PLACE.fullmatch(quoted):
                    yield page.relative_to(ROOT), quoted


def test_every_place_that_a_page_names_is_there() -> None:
    named = list(places())
    assert len(named) > 30
    assert [(page, place) for page, place in named if not any(ROOT.glob(place))] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    for pattern in PAGES:
        for page in ROOT.glob(pattern):
            text = page.read_text(encoding="utf-8")
            for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
                assert (page.parent / target).exists(), f"{page}: {target}"
