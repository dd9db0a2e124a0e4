"""The handwritten digits bundled with scikit-learn: 1797 images of 8 x 8, 10 classes."""

import numpy as np

from ttref.errors import DataError

TRAIN_SIZE = 1437  # four fifths


def load():
    """A fixed random split into 1437 training and 360 test samples.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
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
    train, test = order[:TRAIN_SIZE], order[TRAIN_SIZE:]
    return (x[train], y[train]), (x[test], y[test])
