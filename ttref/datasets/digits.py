"""The handwritten digits bundled with scikit-learn: 1797 images of 8 x 8, 10 classes."""

import numpy as np

from ttref.datasets.samples import Split, split
from ttref.errors import DataError

TRAIN_SIZE = 1437  # four fifths


def load() -> Split:
    """Load a fixed random split into 1437 training and 360 test samples.

    Returns
    -------
    Split
        Images float64 in 0..16, shape (1437, 64) and (360, 64); labels int64.

    Raises
    ------
    DataError
        If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError("the digits come with scikit-learn: pip install 'ttref[demo]'") from None
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return split(x, y, order, TRAIN_SIZE)
