"""The heading of every page of a study: its name, model, size, and links to the other pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from innerear.figures.drawing.style import palette
from innerear.pages.templates import fill


@dataclass(frozen=True)
class Heading:
    """The heading of a study's pages.

    Attributes
    ----------
    study, model : names.
    n_clips, n_prompts : numbers of clips and prompts.
    rooms : name of a page → its file beside this one, in the order of the navigation.
    """

    study: str
    model: str
    n_clips: int
    n_prompts: int
    rooms: Mapping[str, str] = field(default_factory=dict)

    def page(self, template: str, room: str, *, labels: Sequence[str] = (), **values: object) -> str:
        """Fill a template that extends ``base.html``.

        Parameters
        ----------
        room : the page's own name among the rooms.
        labels : of the clips; element ``label-i`` has the colour of the i-th distinct one.
        """
        colours = list(palette([str(label) for label in labels]).values())
        return fill(template, heading=self, room=room, labels=colours, **values)
