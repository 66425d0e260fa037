"""Pages from templates, with style and script inside."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **values: Any) -> str:
    """Return a page as text; everything but Markup is escaped.

    Args:
        values: for the template, besides `style` and `script`.
    """
    environment = Environment(
        loader=PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader
    assert source
    style, script = (Markup(source.get_source(environment, name)[0]) for name in ("report.css", "report.js"))
    return environment.get_template(template).render(style=style, script=script, **values)
