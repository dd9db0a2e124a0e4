"""A model's loss and accuracy on data, in batches."""

from ttref.checks import check_count
from ttref.losses import LOSSES
from ttref.machine import threads
from ttref.train.data import batches, check_data
from ttref.train.sums import collect, count_right, means, new_sums


def evaluate(model, params, data, loss="softmax_cross_entropy", batch_size=1000):
    """Mean loss, and accuracy where the loss has one.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
    data : ``(x, target)`` or ``(x, target, sample_weight)``
    loss : str
        softmax_cross_entropy, binary_cross_entropy or mean_squared_error.
    batch_size : int

    Returns
    -------
    dict
        ``"loss"`` and, for the two cross-entropies, ``"accuracy"``: the share of samples, or of
        entries, that are classified right.
    """
    check_count("batch_size", batch_size)
    return evaluate_checked(model, params, check_data(model, data, loss), loss, batch_size)


def evaluate_checked(model, params, data, loss, batch_size):
    """As `evaluate`, for data that has been through `check_data`."""
    sums, pending = new_sums(), []
    with threads.owned():
        params = model.prepare(params, min(batch_size, data[0].shape[0]))
        for batch in batches(data, batch_size):
            if batch.total > 0:
                prediction, _ = model.forward(params, batch.x)
                value, _ = LOSSES[loss].forward(prediction, batch.target, batch.weight)
                pending.append((value, *count_right(loss, prediction, batch), batch.total))
    collect(sums, pending)
    return means(sums)
