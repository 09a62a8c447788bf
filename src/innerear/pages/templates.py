"""The HTML that pages are filled into: the jinja2 files beside this module. Every value is escaped."""

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=PackageLoader("innerear.pages", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _sha256(text: str) -> str:
    """Return the hash by which a page's content security policy allows a script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_ENVIRONMENT.filters["sha256"] = _sha256


def fill(template: str, /, **values: object) -> str:
    """Fill a template with its values; one that lacks is an error.

    Examples
    --------
    >>> strips = {"<b>": "data:,"}
    >>> "&lt;b&gt; of a clip" in fill("strips.html", clip={"name": "a clip", "strips": strips, "ticks": {}})
    True
    """
    return _ENVIRONMENT.get_template(template).render(values)
