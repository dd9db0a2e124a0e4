"""Scores beside the accuracy."""

import numpy as np

from ttref.contracts import Array


def average_precision(scores: Array, relevant: Array) -> float:
    """Area under the steps of precision over recall: ``sum_k (R_k - R_{k-1}) P_k``.

    P_k and R_k are precision and recall of taking all samples whose score is at least the k-th
    largest distinct one (as in scikit-learn).

    Parameters
    ----------
    scores : NumPy array, shape (n,)
    relevant : NumPy array of 0 and 1, shape (n,)
        Not all 0.

    Returns
    -------
    float

    Examples
    --------
    >>> average_precision(np.asarray([0.9, 0.8, 0.7]), np.asarray([1, 0, 1]))  # (1 + 2 / 3) / 2
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1))  # of the groups of equal scores
    hits = np.cumsum(relevant[order], dtype=np.int64)[ends]
    precision = hits / (ends + 1)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / hits[-1])


def mean_average_precision(scores: Array, relevant: Array) -> float:
    """Mean over the classes of their `average_precision`.

    Parameters
    ----------
    scores : NumPy array, shape (n, classes)
    relevant : NumPy array of 0 and 1, shape (n, classes)
        No column is all 0.

    Examples
    --------
    >>> scores = np.asarray([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    >>> mean_average_precision(scores, np.asarray([[1, 1], [0, 0], [1, 1]]))
    0.8333333333333333
    """
    pairs = zip(scores.T, relevant.T, strict=True)
    return float(np.mean([average_precision(s, r) for s, r in pairs]))
