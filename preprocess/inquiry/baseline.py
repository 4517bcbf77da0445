"""A small classifier that is trained in minutes on a CPU, the same for every build of a dataset.

Its features are those of Coates, Lee and Ng (*An analysis of single-layer networks in unsupervised feature learning*,
AISTATS 2011) with the dictionary of Coates and Ng (*The importance of encoding versus training with sparse coding and
vector quantization*, ICML 2011): patches drawn at random, freed of brightness and contrast, whitened; their products
with every patch of a picture, soft-thresholded, positive and negative part apart, averaged over the quarters of the
picture (the eighths of a volume). On the standardised features scikit-learn's logistic regression is trained; a
multi-label set has one for each label. On CIFAR-10 the papers report 79 % with thousands of patches. It is a stand-in
for a network: what helps or hurts it need not be worth as much to another, so differences count, not levels.

Memory does not grow with the rows: at most :data:`TRAINED` are trained on, and pictures are encoded block by block.
The result is the same for any number of workers: each block is one worker's, and BLAS has one thread.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

#: patches of the dictionary; a feature is made of each, of its positive and its negative part, and of each region
PATCHES = 256
#: edge of a patch, by dimensions
EDGE = {2: 6, 3: 5}
#: pictures that patches are drawn from, and patches from which mean and whitening are learned
DRAWN, WHITENED = 500, 50_000
#: added to the variance of a patch, in gray levels squared, and to that of a whitened direction; the papers' values
CONTRAST, SPREAD = 10.0, 0.1
#: what a product must exceed
THRESHOLD = 0.25
#: about so many places a picture is looked at along an axis, by dimensions, whatever its size
PLACES = {2: 28, 3: 14}
#: rows that are trained on at the most; of more a seeded sample is
TRAINED = 20_000
#: the inverse of the regression's penalty, and how often it is improved
STRENGTH, ITERATIONS = 0.01, 300
#: values of the patches of one block
_BLOCK = 2**22


def require() -> None:
    """Say how scikit-learn is installed where it is not.

    Raises:
        PreprocessError: it is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise PreprocessError(
            "impact: trains with scikit-learn, which is not installed: python -m pip install '.[impact]'"
        ) from None


@dataclass(frozen=True)
class Dictionary:
    """What pictures are encoded by.

    Attributes:
        dimensions: 2 or 3.
        step: between the places of patches along an axis.
        mean: of the patches, (D,) with D values a patch.
        atoms: whitening and drawn patches in one, (D, PATCHES).
    """

    dimensions: int
    step: int
    mean: Floats
    atoms: Floats

    @property
    def features(self) -> int:
        """How many features a picture has."""
        return int(2 * 2**self.dimensions * PATCHES)

    def encode(self, images: Pixels) -> Floats:
        """The features of pictures (N, S, S) or (N, S, S, 3), or volumes (N, S, S, S): (N, F) float32."""
        patches = self.patches(images)
        places, flat = patches.shape[1:-1], _normalised(patches.reshape(-1, len(self.mean)))
        flat -= self.mean
        products = (flat @ self.atoms).reshape(len(images), *places, -1)
        regions = []
        for halves in itertools.product(*(((0, place // 2), (place // 2, place)) for place in places)):
            part = products[(slice(None), *(slice(*half) for half in halves))].reshape(len(images), -1, PATCHES)
            regions += [np.maximum(part - THRESHOLD, 0).mean(1), np.maximum(-part - THRESHOLD, 0).mean(1)]
        return np.concatenate(regions, axis=1)

    def patches(self, images: Pixels) -> Floats:
        """The patches of pictures at every ``step``-th place: (N, places along each axis ..., D)."""
        some = tuple(slice(None, None, self.step) for _ in range(self.dimensions))
        windows = _windows(images, self.dimensions)[(slice(None), *some)]
        return windows.reshape(*windows.shape[: self.dimensions + 1], -1).astype(np.float32)


def _windows(images: Pixels, dimensions: int) -> Pixels:
    """The patches of some pictures at every place, without a copy: (N, places along each axis ..., a patch's axes)."""
    axes = tuple(range(1, dimensions + 1))
    return np.lib.stride_tricks.sliding_window_view(images, (EDGE[dimensions],) * dimensions, axes)


def _normalised(patches: Floats) -> Floats:
    """Patches (N, D) freed of their mean and of their contrast."""
    patches -= patches.mean(1, keepdims=True)
    patches /= np.sqrt(np.square(patches).mean(1, keepdims=True) + CONTRAST)
    return patches


def learn(images: Pixels, dimensions: int, random: np.random.RandomState) -> Dictionary:
    """Draw a dictionary from some pictures.

    Args:
        images: (N, S, S), (N, S, S, 3) or (N, S, S, S) uint8.
        dimensions: 2 or 3.
        random: draws the places.

    Raises:
        PreprocessError: the pictures are smaller than a patch.
    """
    edge = images.shape[1]
    if edge < EDGE[dimensions]:
        raise PreprocessError(f"impact: pictures of {edge} are smaller than a patch of {EDGE[dimensions]}; build 28")
    step = max(1, edge // PLACES[dimensions])
    last = edge - EDGE[dimensions] + 1
    rows = random.randint(len(images), size=WHITENED)
    corners = random.randint(last, size=(dimensions, WHITENED))
    drawn = _windows(images, dimensions)[(rows, *corners)].reshape(WHITENED, -1)
    patches = _normalised(drawn.astype(np.float32))
    mean = patches.mean(0)
    patches -= mean
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False, dtype=np.float64))
    whitening = (vectors / np.sqrt(values.clip(0) + SPREAD)) @ vectors.T
    atoms = (patches[random.permutation(len(patches))[:PATCHES]] @ whitening).astype(np.float64)
    atoms /= np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    return Dictionary(dimensions, step, mean, (whitening @ atoms.T).astype(np.float32))


def encoded(dictionary: Dictionary, images: Iterable[Pixels], workers: int) -> Iterator[Floats]:
    """Yield the features of pictures that come one at a time, some rows at once, (n, F) float32 each."""
    images = iter(images)
    first = next(images, None)
    if first is None:
        return
    values = len(dictionary.mean) + PATCHES
    one = dictionary.patches(first[None])
    rows = max(1, _BLOCK // (one.size // one.shape[-1] * values))
    blocks = _stacked(itertools.chain([first], images), rows)
    with ThreadPoolExecutor(workers) as pool:
        while some := [pool.submit(dictionary.encode, block) for block in itertools.islice(blocks, 2 * workers)]:
            yield from (one.result() for one in some)


def _stacked(images: Iterable[Pixels], rows: int) -> Iterator[Pixels]:
    images = iter(images)
    while some := list(itertools.islice(images, rows)):
        yield np.stack(some)


#: reads rows by their numbers, which ascend, a picture at a time
Read = Callable[[Sequence[int]], Iterator[Pixels]]


@dataclass(frozen=True)
class Trained:
    """A trained classifier.

    Attributes:
        score: gives the scores of rows (N, C) float64: the probability of each class, of a multi-label set that of each
            label.
        rows: on how many rows it was trained.
        converged: whether the regression came to an end.
    """

    score: Callable[[Read, Sequence[int]], NDArray[np.float64]]
    rows: int
    converged: bool


def train(
    read: Read, rows: Sequence[int], labels: NDArray[np.int64], classes: int, dimensions: int, seed: int, workers: int
) -> Trained:
    """Train a classifier.

    Args:
        read: reads rows: (S, S), (S, S, 3) or (S, S, S) uint8.
        rows: the numbers of the rows to train on, ascending.
        labels: (N, 1) with the class of each, or (N, C) of 0 and 1 for a multi-label set. Grades are told apart as
            classes, as in the MedMNIST paper.
        classes: how many there are.
        dimensions: 2 or 3.
        seed: of the patches that are drawn.
        workers: threads.

    Raises:
        PreprocessError: scikit-learn is not installed, or the pictures are smaller than a patch.
    """
    require()
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    random = np.random.RandomState(seed)
    drawn = [rows[place] for place in sorted(random.permutation(len(rows))[:DRAWN].tolist())]
    with threadpool_limits(1):
        dictionary = learn(np.stack(list(read(drawn))), dimensions, random)
        features = np.empty((len(rows), dictionary.features), np.float32)
        done = 0
        for block in encoded(dictionary, read(rows), workers):
            features[done : done + len(block)] = block
            done += len(block)
        scaler = StandardScaler(copy=False).fit(features)
        features = scaler.transform(features)
        models: list[Any] = []
        for target in labels.T:
            model = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it did not converge is said by what is returned
                # of one class alone there is nothing to learn: it is always the answer
                models.append(model.fit(features, target) if len(np.unique(target)) > 1 else int(target[0]))

    def score(read: Read, rows: Sequence[int]) -> NDArray[np.float64]:
        with threadpool_limits(1):
            blocks = [
                _scores(models, scaler.transform(block), classes) for block in encoded(dictionary, read(rows), workers)
            ]
        return np.concatenate([np.zeros((0, classes)), *blocks])

    ended = all(isinstance(model, int) or model.n_iter_.max() < ITERATIONS for model in models)
    return Trained(score, len(rows), ended)


def _scores(models: list[Any], features: Floats, classes: int) -> NDArray[np.float64]:
    """What the regressions give for some rows, (N, C) in the order of the classes."""
    many = len(models) > 1
    scores = np.zeros((len(features), classes))
    for place, model in enumerate(models):
        if isinstance(model, int):
            scores[:, place if many else model] = model if many else 1
        elif many:
            scores[:, place] = model.predict_proba(features)[:, 1]
        else:
            scores[:, model.classes_] = model.predict_proba(features)
    return scores
