"""Names that any file system can hold, labels, and texts that a model can distinguish."""

import re
import unicodedata
from collections.abc import Sequence

from innerear.errors import InputError, shown

#: characters of a name, of a label, and of a text that a model reads
MAX_NAME, MAX_LABEL, MAX_TEXT = 100, 100, 2000

# A name becomes a folder on any system.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DEVICES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
# Control characters other than white space, halves of characters, and what stands for a lost character.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")
# T5 takes these for a space (U+2581 is its own sign for one).
_AS_SPACE = str.maketrans(dict.fromkeys("\u1680\u200b\u200e\u200f\u2028\u2029\u2581\ufeff", " "))

# What no font shows: Unicode's Default_Ignorable_Code_Point.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_name(text: str) -> bool:
    """Return whether a text can name a folder on any system.

    It has up to `MAX_NAME` letters, digits, - and _, begins with a letter or a digit, and is no device of
    Windows, such as ``nul``.
    """
    return len(text) <= MAX_NAME and bool(_NAME.fullmatch(text)) and not _DEVICES.fullmatch(text)


def check_names(names: Sequence[str], where: str, rows: Sequence[int] = ()) -> None:
    """Refuse, with an InputError, names that are none, and two that differ in case only.

    Some file systems ignore case. `rows` are the numbers of the names' rows at `where`.
    """
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        here = f"{where}, row {rows[i]}" if rows else where
        if not is_name(name):
            raise InputError(
                f"{here}: the id {shown(name)} cannot name a folder; use up to {MAX_NAME} letters, digits, - "
                "and _, a letter or a digit first, and no name of a device, such as nul"
            )
        first = seen.setdefault(name.lower(), i)
        if first != i:
            both = f"rows {rows[first]} and {rows[i]}" if rows else f"{names[first]!r} and {name!r}"
            raise InputError(f"{where}: {both} share the id {name!r}; rename one")


def check_characters(text: str, where: str) -> None:
    """Refuse, with an InputError, a text with control characters, other than white space, or a broken one."""
    found = _NO_TEXT.search(text)
    if found:
        raise InputError(
            f"{where}: {shown(text)} holds the character U+{ord(found[0]):04X}, which belongs in no text; "
            "remove it, or save the file again as UTF-8"
        )


def check_path(path: str, where: str) -> None:
    """Refuse, with an InputError, a path with Snakemake's brackets, or what cannot be printed."""
    if not path.isprintable() or set(path) & set("{}<>"):
        raise InputError(
            f"{where}: {shown(path)} has one of {{}}<>, which Snakemake takes for a pattern, or a character "
            "that cannot be printed; rename the file or folder"
        )


def tidy(text: str, where: str) -> str:
    """Return a text that a model reads, with single spaces.

    Raises
    ------
    InputError: an empty text, one of more than `MAX_TEXT` characters, or one with control characters.
    """
    check_characters(text, where)
    if len(text) > MAX_TEXT:
        raise InputError(f"{where}: a text of {len(text):,} characters; the most is {MAX_TEXT:,}")
    if not reading(text):
        raise InputError(f"{where}: {shown(text)} is an empty text; write one")
    return " ".join(text.split())


def reading(text: str) -> str:
    """Return a text as T5 reads it: texts that differ, but not in this, make the same clips.

    T5 reads Unicode in the form NFKC, and any white space as one space. Invisible characters are left out.

    >>> reading("a\\u00a0ha\\u00adppy  ﬁle ")
    'a happy file'
    """
    if text.isascii():
        return " ".join(text.split())
    spaced = unicodedata.normalize("NFKC", text.translate(_AS_SPACE))
    return " ".join("".join(one for one in spaced if unicodedata.category(one) != "Cf").split())


def seen(text: str) -> str:
    """Return the visible form of a text: texts with equal forms look the same.

    Unlike in `reading`, a character without width is no space.

    >>> seen("Ha\\u200bppy \\u00a0song\\ufe0f")
    'happy song'
    """
    visible = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return " ".join(visible.replace("\u2800", " ").casefold().split())  # U+2800: Braille without a dot


def check_labels(labels: Sequence[str], of: str, where: str, rows: Sequence[int]) -> None:
    """Refuse labels that tables cannot hold, and two that look alike.

    Parameters
    ----------
    labels : one for each prompt.
    of, where, rows : the name of the label, where it stands, and the numbers of its rows there.

    Raises
    ------
    InputError: a label of more than `MAX_LABEL` characters, ``nan``, one of which nothing is seen, or two
        that differ in case, white space, Unicode form or invisible characters only.
    """
    labelled: dict[str, tuple[str, int]] = {}
    for label, row in zip(labels, rows, strict=True):
        look = seen(label)
        if len(label) > MAX_LABEL or label == "nan" or (label and not look):
            why = "which tables take for a missing number" if label == "nan" else "which is too long"
            why = why if look else "of which nothing is seen"
            raise InputError(
                f"{where}, row {row}: the {of} is {_coded(label)}, {why}; use another, of at most "
                f"{MAX_LABEL} characters"
            )
        first, its_row = labelled.setdefault(look, (label, row))
        if first != label:
            raise InputError(
                f"{where}: rows {its_row} and {row} have the {of}s {_coded(first)} and {_coded(label)}, "
                "which look alike but would count as two; write them alike, or rename one"
            )


def _coded(label: str) -> str:
    """Return a label for a message, with the codes of what is invisible."""
    return shown(_INVISIBLE.sub(lambda one: f"<U+{ord(one[0]):04X}>", label))


def layers_of(named: str) -> list[int]:
    """Return the layers that the names of a job's files hold.

    >>> layers_of("00-03-05")
    [0, 3, 5]
    """
    return [int(layer) for layer in named.split("-")]
