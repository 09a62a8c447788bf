"""Directions in the states of a layer: of prompt means, a probe, the text's direct effect, or a dictionary.

A direction keeps the prompts that it was fitted on, and refuses them where it is scored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from innerear.errors import InputError, did_you_mean, shown
from innerear.io.machine import cannot, file_size
from innerear.study.dictionaries import read_settings, require_of
from innerear.study.generation_settings import integer

if TYPE_CHECKING:
    from innerear.results import StudyResults

#: how a direction between two labels is made
SOURCES = ("means", "probe", "delta")
#: share of the mean variance that the probe's covariance is shrunk to
SHRINKAGE = 0.5


@dataclass(frozen=True)
class Direction:
    """A vector in the states of a layer. Its length is the whole way from one pole to the other.

    Attributes
    ----------
    vector : float32 [D].
    layer, site : of the states.
    name : what it is, for tables.
    training_prompts : ids of the prompts that it was fitted on.
    """

    vector: NDArray
    layer: int
    site: str = "residual"
    name: str = ""
    training_prompts: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        try:
            vector = np.asarray(self.vector)
        except (TypeError, ValueError, RuntimeError):
            vector = np.asarray(None)
        if vector.dtype.kind not in "fiu":
            raise InputError(
                f"direction {self.name or '(unnamed)'}: {shown(self.vector)} is no vector of real numbers"
            )
        vector = vector.astype(np.float32)
        if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
            raise InputError(
                f"direction {self.name or '(unnamed)'}: shape {vector.shape}; give a vector [D] "
                "that is finite, and not 0"
            )
        object.__setattr__(self, "vector", vector)
        object.__setattr__(self, "training_prompts", frozenset(map(str, self.training_prompts)))

    def require_unseen(self, prompts: Iterable[str]) -> None:
        """Refuse prompts that the direction was fitted on.

        Raises
        ------
        InputError: one of them, by name.
        """
        seen = sorted(self.training_prompts.intersection(map(str, prompts)))
        if seen:
            raise InputError(
                f"direction {self.name or '(unnamed)'} was fitted on prompt {seen[0]!r} ({len(seen)} of "
                "those that are scored): fit it on other templates"
            )

    def scaled(self, length: float) -> "Direction":
        """Return the same direction with another length."""
        return replace(self, vector=self.vector * (length / np.linalg.norm(self.vector)))


def between(
    means: NDArray,
    labels: Sequence[str],
    poles: tuple[str, str],
    *,
    layer: int,
    site: str = "residual",
    source: str = "means",
    prompts: Sequence[str] = (),
) -> Direction:
    """Fit a direction from one label to another.

    Parameters
    ----------
    means : [P, C, D] mean states of P prompts in the branches cond and uncond; in one branch [P, 1, D].
    labels, prompts : [P] of each.
    poles : the label where the direction begins, and the one where it ends.
    source : ``"means"``: difference of the two means, over branches; ``"probe"``: that of a linear
        discriminant, with the covariance within labels shrunk half-way to its mean variance, as long as the
        difference of the means; ``"delta"``: difference of the means of cond − uncond.

    Raises
    ------
    InputError: a label that no prompt has, an unknown source, delta without both branches.

    Examples
    --------
    >>> means = np.array([[[0.0, 1.0]], [[2.0, 1.0]]])
    >>> between(means, ["calm", "loud"], ("calm", "loud"), layer=3).vector.tolist()
    [2.0, 0.0]
    """
    means, named = np.asarray(means, float), [str(one) for one in labels]
    if source not in SOURCES:
        raise InputError(
            f"source: {source!r} is not allowed{did_you_mean(str(source), SOURCES)}; use {', '.join(SOURCES)}"
        )
    if source == "delta" and means.shape[1] != 2:
        raise InputError("source: delta is cond − uncond, and there is one branch")
    for pole in poles:
        if pole not in named:
            there = list(dict.fromkeys(named))
            raise InputError(
                f"no prompt is {pole!r}{did_you_mean(pole, there)}; there are {', '.join(there)}"
            )
    values = means[:, 0] - means[:, 1] if source == "delta" else means.mean(axis=1)  # [P, D]
    of_label = {name: values[[one == name for one in named]] for name in dict.fromkeys(named)}
    vector = of_label[poles[1]].mean(axis=0) - of_label[poles[0]].mean(axis=0)
    if source == "probe":
        within = np.concatenate([one - one.mean(axis=0) for one in of_label.values()])
        found = _solved(within, vector)
        vector = found * (np.linalg.norm(vector) / np.linalg.norm(found))
    name = f"{poles[0]} → {poles[1]} ({source})"
    return Direction(vector.astype(np.float32), layer, site, name, frozenset(prompts))


def strongest_feature(
    activations: NDArray, decoder: NDArray, labels: Sequence[str], poles: tuple[str, str]
) -> tuple[int, NDArray]:
    """Return the feature that moves the states most from one label to another.

    States are sums of features, so a feature moves them by the difference of its mean activation times the
    length of its decoder vector.

    Parameters
    ----------
    activations : [P, F] mean activation of each feature in P prompts.
    decoder : [F, D].
    labels : [P].
    poles : the label where the direction begins, and the one where it ends.

    Returns
    -------
    The feature's number, and its decoder vector [D] at length 1, turned toward the second pole.

    Raises
    ------
    InputError: no feature fires otherwise at one pole than at the other.

    Examples
    --------
    >>> activations, decoder = np.array([[1.0, 0.0], [0.0, 3.0]]), np.eye(2)
    >>> number, vector = strongest_feature(activations, decoder, ["calm", "loud"], ("calm", "loud"))
    >>> number, vector.tolist()
    (1, [0.0, 1.0])
    """
    start, end = (activations[np.asarray(labels) == pole].mean(axis=0) for pole in poles)
    moved = (end - start) * np.linalg.norm(decoder, axis=1)
    number = int(np.abs(moved).argmax())
    if not moved[number]:
        raise InputError(f"no feature fires otherwise in clips of {poles[1]!r} than in those of {poles[0]!r}")
    vector = np.asarray(decoder[number], np.float32)
    return number, np.sign(moved[number]) * vector / np.linalg.norm(vector)


def _solved(within: NDArray, vector: NDArray) -> NDArray:
    """Return (shrunken covariance of rows [n, D])⁻¹ vector [D]."""
    covariance = within.T @ within / max(1, len(within))
    mean = np.trace(covariance) / len(covariance)
    if not mean > 0:
        return vector
    shrunken = (1 - SHRINKAGE) * covariance + SHRINKAGE * mean * np.eye(len(covariance))
    return np.linalg.solve(shrunken, vector)


def of_study(
    study: "StudyResults",
    start: str,
    end: str,
    *,
    layer: int,
    source: str = "means",
    site: str = "residual",
    without: Sequence[str] = (),
) -> Direction:
    """Fit a direction between two labels on a finished study.

    Parameters
    ----------
    study : from `innerear.open_study`.
    start, end : labels (emotions) of the study.
    without : templates whose prompts are left out, to be scored.

    Raises
    ------
    InputError: no study, a template or label that it does not have, no template left; as `between`.

    Examples
    --------
    ``of_study(open_study("results/emotions_nano"), "calm", "energetic", layer=3, without=["piano"])``
    """
    if not hasattr(study, "states"):
        raise InputError(f"study: {shown(study)} is no open study; give innerear.open_study(folder)")
    columns = [study.samples[name].astype(str) for name in ("prompt_id", "emotion", "template")]
    left_out = _templates(without, list(dict.fromkeys(columns[2])))
    labels = {
        prompt: label for prompt, label, template in zip(*columns, strict=True) if template not in left_out
    }
    means = []
    for prompt in labels:
        states = study.states(prompt, None, layer, site)  # [sample, branch, step, d_model]
        whole = states.where(states["complete"].astype(bool), drop=True)
        means.append(whole.mean(["sample", "step"]).to_numpy())
    if not means:
        raise InputError(f"without: {list(without)} leaves no template to fit a direction on")
    how = {"layer": layer, "site": site, "source": source, "prompts": list(labels)}
    return between(np.stack(means), list(labels.values()), (start, end), **how)


def _templates(without: Any, there: Sequence[str]) -> list[Any]:
    """Return the templates that are left out, if the study has them."""
    if isinstance(without, str) or not isinstance(without, Iterable):
        raise InputError(f"without: {shown(without)} is no list of templates; use [{', '.join(there)}]")
    chosen = list(without)
    for one in chosen:
        if one not in there:
            raise InputError(
                f"without: the study has no template {one!r}{did_you_mean(str(one), there)}; it has "
                f"{', '.join(there)}"
            )
    return chosen


def of_dictionary(folder: str | PathLike, latent: int, *, layer: int | None = None) -> Direction:
    """Return the decoder vector of one latent of a dictionary in sae-lens' layout.

    Parameters
    ----------
    folder : with ``cfg.json`` and ``sae_weights.safetensors``, whose ``W_dec`` is [latents, D].
    layer : of its states; by default the one that its metadata name.

    Raises
    ------
    InputError: no such folder, file, latent or layer, or a layer that is not the one its metadata name.
    """
    if not isinstance(folder, str | PathLike):
        raise InputError(f"folder: {shown(folder)} is no path; give the folder of a dictionary")
    folder = Path(folder)
    settings = read_settings(folder)
    own = {**settings, **settings["metadata"]}
    require_of(folder, own, {"layer": layer})
    layer = own.get("layer") if layer is None else layer
    if layer is None:
        raise InputError(f"{folder / 'cfg.json'} names no layer: give layer=…")
    layer = integer(f"{folder / 'cfg.json'}: layer", layer, 0, 100_000)
    decoder = _decoder(folder / "sae_weights.safetensors", own.get("d_in"))
    if not integer("latent", latent, 0, 10**9) < len(decoder):
        raise InputError(f"latent: {latent} is not there; {folder} has the latents 0 to {len(decoder) - 1}")
    seen = frozenset(own["training_prompts"])
    return Direction(decoder[latent], layer, str(own.get("site") or "residual"), f"feature {latent}", seen)


def _decoder(path: Path, width: Any) -> NDArray:
    """Return ``W_dec`` [latents, D] as float32; `width` is the D that its settings name, if they do."""
    from safetensors import SafetensorError, safe_open

    try:
        file_size(path)
        with safe_open(path, "pt") as file:
            decoder = file.get_tensor("W_dec")
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        said = cannot("read", path, error) or f"{path}: its W_dec cannot be read ({error})"
        raise InputError(said) from None
    if not decoder.is_floating_point():
        raise InputError(f"{path}: its W_dec is {str(decoder.dtype).removeprefix('torch.')}, not floats")
    if decoder.ndim != 2 or width not in (None, decoder.shape[1]):
        found = tuple(decoder.shape)
        raise InputError(f"{path}: its W_dec has shape {found}, not [latents, {width or 'D'}]; save it again")
    return decoder.float().numpy()


def random_directions(covariance: NDArray, length: float, n: int, seed: int | Sequence[int]) -> NDArray:
    """Draw n directions from the law of the states themselves, all of one length.

    Parameters
    ----------
    covariance : [D, D] of a layer's states.
    length : of every direction.

    Returns
    -------
    float32 [n, D].

    Examples
    --------
    >>> drawn = random_directions(np.diag([1.0, 0.0]), 2.0, 3, seed=0)
    >>> np.abs(drawn).tolist()
    [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]
    """
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(seed).normal(size=(n, len(values)))
    drawn = (normal * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return (drawn * (length / np.linalg.norm(drawn, axis=1, keepdims=True))).astype(np.float32)
