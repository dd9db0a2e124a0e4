"""A model's loss, accuracy and predictions on data, in batches."""

import numpy as np

from ttref import tree
from ttref.arrays import check_numeric, namespace
from ttref.checks import check_count
from ttref.contracts import Array, Loss, Source, Tree
from ttref.layers import Layer
from ttref.losses import get_loss
from ttref.machine.process import own_blas_threads
from ttref.train.data import (
    Data,
    Samples,
    Scaling,
    batches,
    check_samples,
    check_scale,
    prepare_data,
)
from ttref.train.source import Reader
from ttref.train.sums import BatchScore, collect, compute_means, count_right, new_sums
from ttref.train.training import check_parameters


def evaluate(
    model: Layer,
    params: Tree,
    data: Samples,
    loss: str | Loss = "softmax_cross_entropy",
    batch_size: int = 1000,
    scale: float | None = None,
) -> dict[str, float]:
    """Mean loss, and accuracy where the loss has one.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        x is an array, shape (S, ...), or a `Source`, of which one batch at a time is in memory.
    loss : str or Loss
        As that of `fit`.
    batch_size : int
    scale : float, optional
        What integer x is multiplied by, as in `fit`.

    Returns
    -------
    dict
        ``"loss"`` and, for the two cross-entropies, ``"accuracy"``: the share of samples, or of
        entries, whose class is predicted correctly.

    Raises
    ------
    ShapeError, DataError, DtypeError, ConventionError
        If the arguments do not fit each other.
    """
    check_count("batch_size", batch_size)
    check_parameters(params)
    checked = prepare_data(model, params, data, loss, scale)
    return evaluate_checked(model, params, checked, loss, batch_size)


def evaluate_checked(
    model: Layer, params: Tree, data: Data, loss: str | Loss, batch_size: int
) -> dict[str, float]:
    """As `evaluate`, for data that `prepare_data` returned."""
    sums = new_sums()
    pending: list[BatchScore] = []
    with own_blas_threads():
        params = model.prepare(params, min(batch_size, data.samples))
        for batch in batches(data, batch_size):
            if batch.total > 0:
                prediction, _ = model.forward(params, batch.x)
                value, _ = get_loss(loss).forward(prediction, batch.target, batch.weight)
                right, answers = count_right(loss, prediction, batch)
                pending.append(BatchScore(value, right, answers, batch.total))
    collect(sums, pending)
    return compute_means(sums)


def predict(
    model: Layer,
    params: Tree,
    x: Array | Source,
    batch_size: int = 1000,
    scale: float | None = None,
) -> Array:
    """The model's outputs outside training, computed in batches.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
    x : array, shape (S, ...), or Source
        Of a source, one batch at a time is in memory.
    batch_size : int
    scale : float, optional
        What integer x is multiplied by, as in `fit`.

    Returns
    -------
    y : array, shape (S, ...)

    Raises
    ------
    DtypeError, DataError
        If x is not what `fit` takes.
    """
    check_count("batch_size", batch_size)
    check_parameters(params)
    scaling = None
    leaves = tree.leaves(params)
    if not isinstance(x, Source) and leaves:
        x = check_numeric("x", x)
        check_samples(x, leaves[0], scale, model.padding_value)
        scaling = None if scale is None else Scaling(float(check_scale(scale)), leaves[0].dtype)
    samples = len(x) if isinstance(x, Source) else x.shape[0]
    starts = range(0, max(samples, 1), batch_size)
    slices = [slice(start, min(start + batch_size, samples)) for start in starts]
    if isinstance(x, Source):
        reader = Reader.for_params(x, params)
        numbers = np.arange(samples)
        parts = (reader.read(numbers[part]) for part in slices)
    else:
        parts = (x[part, ...] for part in slices)
    if scaling is not None:
        parts = (scaling.apply(part) for part in parts)
    outputs = [model.forward(params, part)[0] for part in parts]
    return namespace(*outputs).concat(outputs, axis=0)
