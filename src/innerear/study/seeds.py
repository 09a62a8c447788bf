"""The seeds of each prompt: the same for all prompts, or its template's own."""

from collections.abc import Mapping, Sequence

from innerear.errors import InputError
from innerear.study.generation_settings import MAX_SEED
from innerear.study.prompts import MAX_SAMPLES, Prompt

#: the key of the setting ``seeds`` that gives each template seeds of its own
EACH = "each_template"


def seeds_of_prompts(
    section: Sequence[int] | Mapping, prompts: Sequence[Prompt], templates: Sequence[Mapping]
) -> dict[str, list[int]]:
    """Return the seeds of each prompt by its id.

    Parameters
    ----------
    section : the setting ``seeds``: a list for all prompts, or ``{each_template: n}``. Template number k from
        0 then has the seeds k·n … k·n + n − 1, unless it names n seeds itself.
    prompts : in the order in which they are written, by which their templates are counted.
    templates : the setting ``prompts.templates``.

    Raises
    ------
    InputError: a seed twice, in a list or in two templates; another number of seeds than n; seeds of a
        template where all share a list; seeds of templates where there are none; too many samples.

    Examples
    --------
    >>> prompts = [Prompt("a-happy", "happy a", "a", "happy"), Prompt("b-happy", "happy b", "b", "happy")]
    >>> seeds_of_prompts({"each_template": 2}, prompts, [{"id": "a"}, {"id": "b"}])
    {'a-happy': [0, 1], 'b-happy': [2, 3]}
    """
    named = {template["id"]: template["seeds"] for template in templates if template.get("seeds") is not None}
    if isinstance(section, Mapping):
        by_template = _of_templates(section[EACH], prompts, named)
        seeds = {prompt.id: by_template[prompt.template] for prompt in prompts}
    elif named:
        raise InputError(
            f"prompts.templates: {next(iter(named))!r} names seeds of its own, but seeds lists those of all "
            f"templates; set seeds to {{{EACH}: n}} with its number of seeds, or remove them there"
        )
    else:
        _check_distinct(section, "seeds")
        seeds = {prompt.id: list(section) for prompt in prompts}
    n = len(next(iter(seeds.values())))
    if len(prompts) * n > MAX_SAMPLES:
        raise InputError(
            f"seeds: {len(prompts):,} prompts × {n:,} seeds are more than {MAX_SAMPLES:,} samples; use "
            "fewer seeds, or split the study"
        )
    return seeds


def _of_templates(n: int, prompts: Sequence[Prompt], named: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """Return the n seeds of each template, `named` or counted."""
    templates = list(dict.fromkeys(prompt.template for prompt in prompts))
    if templates == [""]:
        raise InputError(
            f"seeds.{EACH}: the prompts have no templates; name one for each, or list the seeds, "
            f"such as {list(range(n))[:4]}"
        )
    if n * len(templates) > MAX_SEED:
        raise InputError(f"seeds.{EACH}: {len(templates):,} templates × {n:,} are more seeds than there are")
    by_template, template_of = {}, {}
    for number, template in enumerate(templates):
        seeds = named.get(template, list(range(number * n, number * n + n)))
        where = f"prompts.templates, {template!r}: seeds"
        if len(seeds) != n:
            raise InputError(f"{where}: {len(seeds)} are given, but seeds.{EACH} is {n}; give {n}")
        _check_distinct(seeds, where)
        for seed in seeds:
            other = template_of.setdefault(seed, template)
            if other != template:
                raise InputError(
                    f"prompts.templates: {other!r} and {template!r} would both have seed {seed}; name others "
                    "for one of them with its key seeds"
                )
        by_template[template] = list(seeds)
    return by_template


def _check_distinct(seeds: Sequence[int], where: str) -> None:
    first: dict[int, int] = {}
    for position, seed in enumerate(seeds, start=1):
        if first.setdefault(seed, position) != position:
            raise InputError(
                f"{where}: entries {first[seed]} and {position} are both {seed}; "
                "the two would be one sample, remove one"
            )
