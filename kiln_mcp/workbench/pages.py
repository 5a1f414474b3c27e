"""Render pages: each is one file that loads nothing from elsewhere, light, dark and printed."""

from importlib.resources import files
from typing import Final

_FRAME: Final = "page.html"


def render_page(package: str, template: str, **values: object) -> str:
    """Return a page as HTML; what it shows is escaped.

    Args:
        package: Where the template lies.
        template: Its file name. It extends `page.html`, with the blocks `style` and `main`.
        values: What it shows; `title` has to be one of them.
    """
    # Imported late: few calls need a page.
    from jinja2 import DictLoader, Environment, StrictUndefined

    sources = {
        name: (files(owner) / name).read_text(encoding="utf-8")
        for owner, name in ((__package__ or "", _FRAME), (package, template))
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, loader=DictLoader(sources)
    )
    return environment.get_template(template).render(**values)
