"""Figures of the workflow with their captions, for a page that holds both."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from markupsafe import Markup

from innerear.errors import InputError
from innerear.io.names import remake
from innerear.pages.captions import caption
from innerear.pages.svg import inline_svg, view_box


@dataclass(frozen=True)
class Figure:
    """A figure in the page, its ``viewBox`` and its caption."""

    name: str
    drawing: Markup
    box: str
    caption: Markup


def read_figures(
    paths: Iterable[str | PathLike], captions: Iterable[str | PathLike], job: object
) -> dict[str, Figure]:
    """Read figures and their captions, of the same names; captions are filled with a job's values.

    Raises
    ------
    InputError: a file that is no figure, and the command that remakes it.
    """
    texts = {Path(path).stem: Path(path).read_text("utf-8") for path in captions}
    figures = {}
    for path in map(Path, paths):
        said = caption(texts[path.stem], job) if path.stem in texts else Markup("")
        try:
            text = path.read_text("utf-8")
            drawing = inline_svg(text, path.stem, path.stem.replace("_", " "))
        except (InputError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path} cannot be shown ({error}); {remake(path)}") from None
        figures[path.stem] = Figure(path.stem, drawing, view_box(text), said)
    return figures
