"""Figures as the workflow made them, put into a page: searchable, without styles of their own, small."""

import re
from xml.etree import ElementTree

from markupsafe import Markup

from innerear.errors import InputError

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
#: what matplotlib sets for all elements in a style sheet, and inherits as well from the root
_EVERYWHERE = {"stroke-linejoin": "round", "stroke-linecap": "butt"}
_FONT = "'DejaVu Sans', sans-serif"
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(text: str, name: str, title: str) -> Markup:
    """Return a figure of matplotlib's as an element of a page.

    A page whose policy forbids inline styles shows it, since styles become attributes; ids begin with the
    figure's name, since pages hold several; what is not seen is left out, and places are rounded to .1 point.

    Parameters
    ----------
    title : what readers hear who do not see it.

    Raises
    ------
    InputError: no SVG, or one that breaks off.

    Examples
    --------
    >>> drawn = '<svg xmlns="http://www.w3.org/2000/svg"><g id="a" style="fill: #fff" x="0.123"/></svg>'
    >>> print(inline_svg(drawn, "map", "A map"))
    <svg stroke-linejoin="round" stroke-linecap="butt" font-family="'DejaVu Sans', sans-serif" role="img" \
aria-label="A map" id="figure-map"><g x="0.1" fill="#fff" /></svg>
    """
    root = _read(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}style", f"{_SVG}metadata"):
                parent.remove(child)
    used = set(_REFERENCE.findall(text)) | {one.get(_XLINK, "#")[1:] for one in root.iter()}
    for element in root.iter():
        _lay_flat(element, f"{name}-", used)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= _EVERYWHERE | {"font-family": _FONT}
    root.attrib |= {"role": "img", "aria-label": title, "id": f"figure-{name}"}
    ElementTree.register_namespace("", _SVG[1:-1])
    written = ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG[1:-1]}"', "")
    return Markup(re.sub(r">\s+<", "><", written))


def view_box(text: str) -> str:
    """Return the ``viewBox`` of a figure."""
    return _read(text).get("viewBox", "")


def _read(text: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"the figure is no whole SVG: {error}") from None
    if root.tag != f"{_SVG}svg":
        raise InputError(f"the figure is no SVG, but begins with <{root.tag}>")
    return root


def _lay_flat(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Turn a style into attributes, prefix an id that something refers to, and round places."""
    given = element.attrib
    for declaration in filter(None, given.pop("style", "").split(";")):
        key, _, value = declaration.partition(":")
        given[key.strip()] = value.strip()
    given.pop("font-family", None)
    own = given.pop("id", None)
    if own in used:
        given["id"] = prefix + own
    if _XLINK in given and given[_XLINK].startswith("#"):
        given["href"] = f"#{prefix}{given.pop(_XLINK)[1:]}"
    elif _XLINK in given:
        given["href"] = given.pop(_XLINK)
    for key, value in given.items():
        if "url(#" in value:
            given[key] = _REFERENCE.sub(rf"url(#{prefix}\1)", value)
        elif key in ("d", "x", "y", "points"):
            given[key] = _NUMBER.sub(_rounded, re.sub(r"\s+", " ", value.strip()))


def _rounded(number: re.Match) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
