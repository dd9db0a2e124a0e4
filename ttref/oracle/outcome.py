"""What a layer makes of a failing case of a report that it is asked once more."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """What a layer makes of a failing case of a report."""

    words: str  # which case it is
    is_fixed: bool
    reason: str = ""  # what is still wrong

    def __str__(self) -> str:
        return f"{self.words}: {'FIXED' if self.is_fixed else f'STILL WRONG, {self.reason}'}"
