"""Samples that are held out of training for validation."""

from numbers import Number
from typing import Any

import numpy as np
from array_api_compat import device

from ttref.arrays import namespace
from ttref.checks import check_number
from ttref.contracts import Array, Source
from ttref.errors import DataError, ShapeError
from ttref.rng import stream
from ttref.train.data import Samples, as_parts
from ttref.train.source import Subset


def hold_out(
    data: Samples, validation: Samples | float | None, seed: int
) -> tuple[Samples, Samples | None]:
    """Samples for training and for validation, which may be a share of `data`, drawn at random.

    Raises
    ------
    ConventionError, DataError
        If the share is not in (0, 1), or one of the parts would have no samples.
    """
    if not isinstance(validation, float | Number | str):
        return data, validation
    check_number("validation", validation, "data, or a share of them in (0, 1)", _is_share)
    parts = as_parts(data)
    samples = len(parts[0]) if isinstance(parts[0], Source) else parts[0].shape[0]
    for part in parts[1:]:
        if part is not None and part.shape[:1] != (samples,):
            raise ShapeError(
                f"x has {samples} samples, a part beside it shape {tuple(part.shape)}; expected "
                "as many of each"
            )
    count = round(samples * validation)
    if not 0 < count < samples:
        raise DataError(
            f"validation={validation} of {samples} samples is {count}; expected at least one "
            "in each part"
        )
    order = stream(seed, "validation").permutation(samples)
    return _take_samples(parts, order[count:]), _take_samples(parts, order[:count])


def _is_share(value: Any) -> bool:
    return 0 < value < 1


def _take_samples(parts: tuple[Any, Array, Array | None], numbers: np.ndarray) -> Samples:
    """The samples of these numbers, in their order."""
    numbers = np.sort(numbers)

    def take(part: Array | None) -> Any:
        if part is None:
            return None
        xp = namespace(part)
        return xp.take(part, xp.asarray(numbers, device=device(part)), axis=0)

    x, target, weight = parts
    chosen = Subset(x, numbers) if isinstance(x, Source) else take(x)
    return chosen, take(target), take(weight)
