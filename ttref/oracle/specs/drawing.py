"""Random sizes that differ from each other, so that no exchanged axis goes unseen."""

from math import prod

import numpy as np

from ttref.tt.check import Structure

MODES = (2, 3, 4, 5)
RANKS = (2, 3, 4)


def draw_different(rng: np.random.Generator, names: str, low: int = 2) -> dict[str, int]:
    """Draw a size of at least `low` for each letter of `names`, all of them different."""
    letters = names.split()
    drawn = rng.permutation(len(letters) + 1)[: len(letters)]
    return {letter: low + int(size) for letter, size in zip(letters, drawn, strict=True)}


def draw_train(rng: np.random.Generator, most: int = 3, unlike: tuple[int, ...] = ()) -> Structure:
    """Draw the modes and ranks of a train of up to `most` cores.

    Its matrix is not square, neither side is in `unlike`, and all modes of a core and all its
    neighbours differ where there are sizes enough.
    """
    while True:
        d = int(rng.integers(1, most + 1))
        n = draw_modes(rng, d)
        m = draw_modes(rng, d)
        ranks = tuple(int(r) for r in rng.permutation(RANKS)[: d - 1])
        differ = all(i != j for i, j in zip(n, m, strict=True))
        if differ and len({prod(n), prod(m), *unlike}) == 2 + len(set(unlike)):
            return Structure(n, m, (1, *ranks, 1))


def draw_modes(rng: np.random.Generator, d: int) -> tuple[int, ...]:
    """Draw d modes; long trains have small ones, for the matrix not to be large."""
    sizes = MODES[: 5 - d] if d < 4 else MODES[:2]
    return tuple(int(size) for size in rng.choice(sizes, d))
