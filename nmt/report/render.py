"""Values -> a page, by jinja2's templates: every text is escaped, and nothing of it is invisible."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2
from markupsafe import Markup

from nmt.report.shown import clipped, percent, visible

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """A whole HTML document that loads nothing. template: a file of `templates/`; values: what it names.

    Strings are escaped and made visible (`nmt.report.shown.visible`) wherever they stand, unless they are Markup. A
    name that is not given is an error.
    """
    return environment().get_template(template).render(**values)


@functools.cache
def environment() -> jinja2.Environment:
    """Made once; it compiles each template once."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"percent": percent, "clipped": clipped, "unbroken": unbroken}
    return made


def unbroken(cell: object) -> str:
    """A cell's text that breaks between numbers and not inside one: 35.89 (sd 0.36) ± 0.88 in up to three lines."""
    return str(cell).replace("± ", "±\u00a0").replace("(sd ", "(sd\u00a0")


def _finalized(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
