"""Data sets that need no file: scikit-learn's own, and small ones made on the spot from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid.errors import SourceNotFoundError

if TYPE_CHECKING:
    import pandas

__all__ = ["EMBEDDED", "Embedded", "EmbeddedImages", "embedded_frame", "find_embedded"]


@dataclass(frozen=True)
class EmbeddedImages:
    """Small images with a class name each.

    Attributes:
        images: ``(n, channels, height, width)`` uint8 in 0…255.
        labels: ``(n,)`` class names.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Embedded:
    """One embedded data set.

    Attributes:
        name: What a person types instead of a path.
        modality: What it is prepared as unless told otherwise.
        target: The column that is predicted unless told otherwise.
        make: ``make(seed)`` gives a table, or images. The same seed gives the same data; scikit-learn's own
            sets are the same for every seed.
        about: One sentence for the person.
        defaults: Data settings that suit it, by name.
    """

    name: str
    modality: Literal["table", "image", "text"]
    target: str
    make: Callable[[int], pandas.DataFrame | EmbeddedImages]
    about: str
    defaults: dict[str, Any] = field(default_factory=dict)


def find_embedded(source: object) -> Embedded | None:
    """The embedded data set of that name, None if ``source`` names none."""
    return EMBEDDED.get(str(source))


def embedded_frame(name: str, seed: int = 0) -> pandas.DataFrame:
    """An embedded data set as a table; images become one column for each pixel and a column of labels.

    Raises:
        SourceNotFoundError: there is no embedded data set of that name.
    """
    import pandas

    embedded = find_embedded(name)
    if embedded is None:
        raise SourceNotFoundError(
            f"there is no embedded data set {name!r}", remedy=f"choose one of {', '.join(sorted(EMBEDDED))}"
        )
    made = embedded.make(seed)
    if not isinstance(made, EmbeddedImages):
        return made
    _, channels, height, width = made.images.shape
    names = [f"pixel_{row}_{column}" for _ in range(channels) for row in range(height) for column in range(width)]
    frame = pandas.DataFrame(made.images.reshape(len(made.images), -1), columns=names)
    frame[embedded.target] = made.labels
    return frame


def _digits(_seed: int) -> EmbeddedImages:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    # scikit-learn's pixels run from 0 to 16; 255 / 16 brings them to whole grey values.
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return EmbeddedImages(images, bunch.target.astype(str))


def _sklearn_table(loader: str, target: str) -> Callable[[int], pandas.DataFrame]:
    """A maker of one of scikit-learn's tables, its classes by name."""

    def make(_seed: int) -> pandas.DataFrame:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, loader)(as_frame=True)
        frame = bunch.data.copy()
        names = getattr(bunch, "target_names", None)
        frame[target] = bunch.target if names is None else np.asarray(names, dtype=object)[bunch.target]
        return frame

    return make


def _points(draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]) -> Callable[[int], pandas.DataFrame]:
    """A maker of labelled points in the plane: columns x1, x2 and class."""

    def make(seed: int) -> pandas.DataFrame:
        import pandas

        generator = np.random.default_rng(seed)
        points, labels = draw(generator)
        order = generator.permutation(len(points))
        frame = pandas.DataFrame(points[order], columns=["x1", "x2"])
        frame["class"] = np.array(["a", "b", "c"], dtype=object)[labels[order]]
        return frame

    return make


def _moons(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_moons

    points, labels = make_moons(600, noise=0.15, random_state=int(generator.integers(2**31)))
    return np.asarray(points), np.asarray(labels)


def _circles(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import make_circles

    points, labels = make_circles(600, noise=0.08, factor=0.5, random_state=int(generator.integers(2**31)))
    return np.asarray(points), np.asarray(labels)


def _spirals(generator: np.random.Generator, classes: int = 2, each: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Arms of Archimedean spirals, one and three quarter turns, with a little noise."""
    labels = np.repeat(np.arange(classes), each)
    along = np.sqrt(generator.uniform(0.02, 1.0, len(labels)))  # uniform in area, so that the outer turns are as dense
    angle = 3.5 * np.pi * along + labels * (2 * np.pi / classes)
    points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + generator.normal(0, 0.02, points.shape), labels


def _xor(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    points = generator.uniform(-1, 1, (600, 2))
    labels = (points[:, 0] > 0) ^ (points[:, 1] > 0)
    return points + generator.normal(0, 0.03, points.shape), labels.astype(np.int64)


def _checkerboard(generator: np.random.Generator, squares: int = 4) -> tuple[np.ndarray, np.ndarray]:
    points = generator.uniform(0, squares, (1200, 2))
    labels = np.floor(points).astype(np.int64).sum(axis=1) % 2
    return points / squares * 2 - 1, labels


_LANGUAGES: dict[str, tuple[str, str, str, str]] = {
    # onsets, vowels, inner codas (a dot is nothing) and endings: invented languages that sound unlike each other
    "elvish": ("l n r th el v s f", "a e i ae ie ia", ". . l n r", "iel wen dir las nor ien"),
    "orcish": ("g gr k kr z b ur sh", "u o a", "g k sh zg r .", "ak ug osh ash gul nak"),
    "island": ("k l m n p h w", "a e i o u ai oa ua", ".", "a i o lani kea nui"),
    "steppe": ("t b d kh j y ts", "a o u e oe", "n g r l .", "tai bek jin dai gul khan"),
    "northern": ("br st sk hj f gr tr v", "e i ei o y a", "l r n nd .", "sson ar leif vik grim dis"),
}


def _names(seed: int, each: int = 300) -> pandas.DataFrame:
    """Distinct invented names with their language and first letter."""
    import pandas

    generator = np.random.default_rng(seed)
    rows: list[tuple[str, str]] = []
    taken: set[str] = set()
    for language, inventory in _LANGUAGES.items():
        onsets, vowels, codas, endings = (part.replace(".", "").split(" ") for part in inventory)
        made = 0
        while made < each:
            syllables = [
                str(generator.choice(onsets)) + str(generator.choice(vowels)) + str(generator.choice(codas))
                for _ in range(int(generator.integers(1, 3)))
            ]
            name = ("".join(syllables) + str(generator.choice(endings))).capitalize()
            if name not in taken:
                taken.add(name)
                rows.append((name, language))
                made += 1
    frame = pandas.DataFrame(rows, columns=["name", "language"])
    frame["first_letter"] = frame["name"].str[0]
    return frame.iloc[generator.permutation(len(frame))].reset_index(drop=True)


EMBEDDED: dict[str, Embedded] = {
    embedded.name: embedded
    for embedded in (
        Embedded("digits", "image", "digit", _digits, "1,797 handwritten digits, 8 × 8 grey pixels"),
        Embedded("iris", "table", "species", _sklearn_table("load_iris", "species"), "150 irises of three species"),
        Embedded("wine", "table", "cultivar", _sklearn_table("load_wine", "cultivar"), "178 wines of three cultivars"),
        Embedded(
            "breast_cancer",
            "table",
            "diagnosis",
            _sklearn_table("load_breast_cancer", "diagnosis"),
            "569 tumours, malignant or benign, by 30 measures of their cells",
        ),
        Embedded(
            "diabetes",
            "table",
            "progression",
            _sklearn_table("load_diabetes", "progression"),
            "442 patients, the progression of their diabetes after a year",
        ),
        Embedded("moons", "table", "class", _points(_moons), "600 points on two interleaved half-moons"),
        Embedded("spirals", "table", "class", _points(_spirals), "800 points on two spiral arms"),
        Embedded("circles", "table", "class", _points(_circles), "600 points on two rings, one inside the other"),
        Embedded("xor", "table", "class", _points(_xor), "600 points, the class changes with each sign"),
        Embedded("checkerboard", "table", "class", _points(_checkerboard), "1,200 points on a 4 × 4 checkerboard"),
        Embedded(
            "names",
            "text",
            "language",
            _names,
            "1,500 invented names of five invented languages",
            {"text": "name", "tokens": "character"},
        ),
    )
}
"""Every embedded data set by name."""
