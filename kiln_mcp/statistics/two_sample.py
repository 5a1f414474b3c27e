"""Whether a classifier tells two samples apart, by cross-validation and permutations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.interval import CannotTell, Interval
from kiln_mcp.statistics.proportions import score_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

LEAST_ITEMS: Final = 20
"""Items of each sample below which nothing is told."""
_FOLDS: Final = 5
_RIDGE: Final = 0.5
"""What keeps the classifier from learning single items by heart."""
_PERMUTATIONS: Final = 199


@dataclass(frozen=True, slots=True)
class TwoSampleTest:
    """How well two samples are told apart.

    Attributes:
        accuracy: The share of items whose sample the classifier names, though it did not learn
            them: 0.5 if it guesses.
        interval: Wilson's interval of the accuracy. Folds share what they learned from, so the
            items count for as many as have the spread that permutations show.
        p_value: The probability of such an accuracy if both samples are alike, by permutation.
        items: Items of each sample.
    """

    accuracy: float
    interval: Interval
    p_value: float
    items: int


def two_sample_test(kernel: "Numbers", count: int, seed: int = 0) -> TwoSampleTest | CannotTell:
    """Test two samples of the same size.

    The classifier is a kernel ridge regression on 5 folds with as many items of either sample.
    For permutations, items change their sample within a fold, so that these numbers stay.

    Args:
        kernel: The similarities of all items, 1 with themselves: `count` of the first sample, then
            as many of the second.
        count: Items of each sample.
        seed: Of the folds and the permutations.

    Source:
        D. Lopez-Paz, M. Oquab, Revisiting Classifier Two-Sample Tests, 2017.
    """
    if count < LEAST_ITEMS:
        return CannotTell(f"{count} items of each sample, and {LEAST_ITEMS} are needed")
    import numpy as np  # imported here: heavy, and most processes need none

    random = np.random.default_rng(seed)
    folds = np.concatenate([random.permutation(np.arange(count) % _FOLDS) for _ in range(2)])
    labels = np.ones((2 * count, _PERMUTATIONS + 1))
    labels[count:] = -1.0
    for fold in range(_FOLDS):
        (places,) = np.nonzero(folds == fold)
        for column in range(1, _PERMUTATIONS + 1):
            labels[places, column] = labels[random.permutation(places), 0]
    accuracies = _accuracies(kernel, labels, folds)
    accuracy = float(accuracies[0])
    return TwoSampleTest(
        accuracy=accuracy,
        interval=score_interval(
            accuracy, min(2.0 * count, 0.25 / max(1e-9, float(accuracies[1:].var())))
        ),
        p_value=float((1 + (accuracies[1:] >= accuracy - 1e-12).sum()) / (_PERMUTATIONS + 1)),
        items=count,
    )


def _accuracies(kernel: "Numbers", labels: "Numbers", folds: "NDArray[np.int64]") -> "Numbers":
    """Return the accuracy for each column of labels; a tie counts half."""
    import numpy as np  # imported here: as above

    right = np.zeros(labels.shape[1])
    for fold in range(_FOLDS):
        (own,) = np.nonzero(folds == fold)
        (rest,) = np.nonzero(folds != fold)
        ridge = kernel[np.ix_(rest, rest)] + _RIDGE * np.eye(rest.size)
        answers = kernel[np.ix_(own, rest)] @ np.linalg.solve(ridge, labels[rest])
        right += (0.5 + 0.5 * np.sign(answers.round(12)) * labels[own]).sum(axis=0)
    return right / labels.shape[0]
