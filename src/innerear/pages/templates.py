"""Fill the pages' HTML: jinja2 files in this folder. Every value is escaped."""

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_FOLDER = files("innerear.pages")
_ENVIRONMENT = Environment(
    loader=PackageLoader("innerear.pages", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _sha256(text: str) -> str:
    """Return the hash by which a page's content security policy allows a script or a style, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _source(names: Iterable[str]) -> Markup:
    """Return the text of scripts or styles, joined in order."""
    return Markup("\n".join((_FOLDER / name).read_text("utf-8") for name in names))


def _label_rules(colours: Iterable[str]) -> Markup:
    """Return the style of each label's colour: a policy without inline styles forbids ``style=``."""
    return Markup("".join(f".label-{i}{{--label:{colour}}}" for i, colour in enumerate(colours)))


def as_script(value: object) -> Markup:
    """Write a value as JSON that can stand in a script: no text in it ends the script.

    Examples
    --------
    >>> print(as_script(["</script>"]))
    ["\\u003c/script>"]
    """
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c"))


_ENVIRONMENT.filters |= {"sha256": _sha256, "source": _source}
_ENVIRONMENT.globals |= {"label_rules": _label_rules, "styles": [], "scripts": []}


def fill(template: str, /, **values: object) -> str:
    """Fill a template with its values; one that lacks is an error.

    Examples
    --------
    >>> strips = {"<b>": "data:,"}
    >>> "&lt;b&gt; of a clip" in fill("strips.html", clip={"name": "a clip", "strips": strips, "ticks": {}})
    True
    """
    return _ENVIRONMENT.get_template(template).render(values)
