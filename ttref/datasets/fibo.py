"""FiboClass (Yang, Krompass and Tresp 2017): 4 classes of sequences of binary numbers.

Fibonacci, Lucas, Padovan or random numbers, one a step, written as 512 bits, the highest first. A
sample is a window of 3 to 30 successive numbers out of the first 400, padded in front with zeros.
"""

import numpy as np

from ttref.rng import stream

CLASSES = ("Fibonacci", "Lucas", "Padovan", "random")
BITS, TERMS, LENGTHS, WINDOWS, TRAIN_SIZE = 512, 400, (3, 30), 300, 450


def load(seed=0):
    """300 windows of each class, in random order: 450 to train on, 750 to test on.

    Parameters
    ----------
    seed : int
        Of the random numbers, of the windows and of their order.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Bits uint8, shape (450, 30, 512) and (750, 30, 512); labels int64.
    """
    rng = stream(seed, "FiboClass")
    x = np.concatenate([windows(numbers, rng) for numbers in sequences(rng)])
    y = np.repeat(np.arange(len(CLASSES)), WINDOWS)
    order = rng.permutation(len(x))
    train, test = order[:TRAIN_SIZE], order[TRAIN_SIZE:]
    return (x[train], y[train]), (x[test], y[test])


def sequences(rng):
    """The 400 numbers of each class, as Python integers, in the order of `CLASSES`."""
    drawn = tuple(int.from_bytes(rng.bytes(BITS // 8)) for _ in range(TERMS))
    return recurrence((1, 1), 1), recurrence((2, 1), 1), recurrence((1, 1, 1), 2), drawn


def recurrence(first, lag):
    """``a_n = a_{n - lag} + a_{n - lag - 1}`` from its first terms."""
    numbers = list(first)
    while len(numbers) < TERMS:
        numbers.append(numbers[-lag] + numbers[-lag - 1])
    return tuple(numbers)


def windows(numbers, rng):
    """300 random windows of the numbers' bits, uint8, shape (300, 30, 512)."""
    rows = np.asarray([list(number.to_bytes(BITS // 8)) for number in numbers], np.uint8)
    bits = np.unpackbits(rows, axis=1)
    shortest, longest = LENGTHS
    x = np.zeros((WINDOWS, longest, BITS), np.uint8)
    for window in x:
        length = rng.integers(shortest, longest + 1)
        start = rng.integers(TERMS - length)  # the last number is in no window, as in the original
        window[-length:] = bits[start : start + length]
    return x
