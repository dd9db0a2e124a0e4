"""FiboClass (Yang, Krompass and Tresp 2017): 4 classes of sequences of binary numbers.

A class has Fibonacci, Lucas, Padovan or random numbers. Each step is one number, written as 512
bits, the highest first. A sample is a window of 3 to 30 successive numbers out of the first 400,
padded in front with zeros.
"""

from collections.abc import Sequence

import numpy as np

from ttref.contracts import Array
from ttref.datasets.samples import Split, split
from ttref.rng import stream

CLASSES = ("Fibonacci", "Lucas", "Padovan", "random")
BITS = 512
TERMS = 400  # of each sequence
SHORTEST = 3
LONGEST = 30
WINDOWS = 300  # of each class
TRAIN_SIZE = 450


def load(seed: int = 0) -> Split:
    """Draw 300 windows of each class, in random order: 450 to train on, 750 to test on.

    Parameters
    ----------
    seed : int
        Of the random numbers, of the windows and of their order.

    Returns
    -------
    Split
        Bits uint8, shape (450, 30, 512) and (750, 30, 512); labels int64.
    """
    rng = stream(seed, "FiboClass")
    x = np.concatenate([windows(numbers, rng) for numbers in sequences(rng)])
    y = np.repeat(np.arange(len(CLASSES)), WINDOWS)
    order = rng.permutation(len(x))
    return split(x, y, order, TRAIN_SIZE)


def sequences(rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
    """Compute the 400 numbers of each class, as Python integers, in the order of `CLASSES`."""
    drawn = tuple(int.from_bytes(rng.bytes(BITS // 8)) for _ in range(TERMS))
    return recurrence((1, 1), 1), recurrence((2, 1), 1), recurrence((1, 1, 1), 2), drawn


def recurrence(first: Sequence[int], lag: int) -> tuple[int, ...]:
    """Continue ``a_n = a_{n - lag} + a_{n - lag - 1}`` from its first terms."""
    numbers = list(first)
    while len(numbers) < TERMS:
        numbers.append(numbers[-lag] + numbers[-lag - 1])
    return tuple(numbers)


def windows(numbers: Sequence[int], rng: np.random.Generator) -> Array:
    """Draw 300 random windows of the numbers' bits, uint8, shape (300, 30, 512)."""
    rows = np.asarray([list(number.to_bytes(BITS // 8)) for number in numbers], np.uint8)
    bits = np.unpackbits(rows, axis=1)
    x = np.zeros((WINDOWS, LONGEST, BITS), np.uint8)
    for window in x:
        length = rng.integers(SHORTEST, LONGEST + 1)
        start = rng.integers(TERMS - length)  # the last number is in no window, as in the original
        window[-length:] = bits[start : start + length]
    return x
