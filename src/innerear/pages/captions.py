"""The report's captions as HTML; they use little of reStructuredText."""

import re

from jinja2 import Environment
from markupsafe import Markup, escape

_ENVIRONMENT = Environment()
_SET_APART = {r"``(.+?)``": "code", r"\*\*(.+?)\*\*": "b", r"\*(.+?)\*": "i"}


def caption(text: str, snakemake: object) -> Markup:
    """Fill a caption with a job's values, as Snakemake's report does, and return it as HTML.

    Examples
    --------
    >>> print(caption("*p* of {{ snakemake.config['n'] }} < ``m``", type("Job", (), {"config": {"n": 5}})))
    <i>p</i> of 5 &lt; <code>m</code>
    """
    words = str(escape(" ".join(_ENVIRONMENT.from_string(text).render(snakemake=snakemake).split())))
    for pattern, tag in _SET_APART.items():
        words = re.sub(pattern, rf"<{tag}>\1</{tag}>", words)
    return Markup(words)
