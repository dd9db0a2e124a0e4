"""Where a random case comes from: its family, a seed and its number are enough to make it again.

Each case has a generator of its own, and so has each rung that climbs with it. So what a rung finds
depends neither on the cases before nor on the other rungs, and a failure can be replayed alone.
"""

from typing import NamedTuple

import numpy as np

from ttref.rng import stream
from ttref.testing.cases import Case, Family
from ttref.testing.cases.case import RandomDraw, Subject

SIZES = ("small", "mixed", "large")
DEFAULT_SIZES = "mixed"
LARGE_SHARE = 10  # of mixed cases, one in so many has a large size


class Origin(NamedTuple):
    """What a random case is made of.

    Examples
    --------
    >>> print(Origin("linear", 3, 17))
    case 17 of seed 3
    """

    family: str
    seed: int
    number: int  # from 0
    sizes: str = DEFAULT_SIZES

    def __str__(self) -> str:
        sizes = "" if self.sizes == DEFAULT_SIZES else f", sizes {self.sizes}"
        return f"case {self.number} of seed {self.seed}{sizes}"

    def generator(self, purpose: str = "") -> np.random.Generator:
        """The generator of the case, or of a rung that climbs with it."""
        return stream(self.seed, f"case {self.number} {purpose}")

    def make_case(self, family: Family, op: Subject = None) -> Case:
        """Make the case, of the right operator of the family or of `op`."""
        rng = self.generator()
        chosen = rng.random()  # drawn for all sizes alike, so that small cases are the same
        large = None
        if self.sizes == "large" or (self.sizes == "mixed" and chosen * LARGE_SHARE < 1):
            large = self._choose_size(family, op)
        return family(RandomDraw(rng, large), rng, op)

    def _choose_size(self, family: Family, op: Subject) -> int | None:
        """The number of the size that is large: any of those that the case draws."""
        rng = self.generator()
        rng.random()
        draw = RandomDraw(rng)
        family(draw, rng, op)
        if not draw.sizes:
            return None
        return int(self.generator("sizes").integers(draw.sizes))

    def command(self, options: str = "") -> str:
        """The command that checks the case alone, with more options."""
        sizes = "" if self.sizes == DEFAULT_SIZES else f" --sizes {self.sizes}"
        return f"ttref check {self.family}{options}{sizes} --seed {self.seed} --case {self.number}"
