"""What a resumed run must have in common with the run that it continues."""

import re
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttref import tree
from ttref.checks import suggest
from ttref.contracts import Tree
from ttref.errors import CheckpointError, ConventionError
from ttref.identity import identify
from ttref.train.data import checksum, fingerprint, identify_source
from ttref.train.source import Reader, fingerprints
from ttref.train.training import Training

IDENTIFIED = (
    *("model", "optimizer", "batch_size", "loss", "l2", "clip_norm", "average", "early_stopping"),
)
DATA = ("data", "validation")
NAMED = "named "  # the start of the text of what the caller has named
CODE = ".code"  # the end of the names of parts that depend on the version of Python
ABSENT = "absent"


class RunIdentity:
    """The settings of a run, and the parts of its model, optimiser and options.

    Parameters
    ----------
    training : Training
    params : tree of arrays
        The weights from which the run starts.
    seed : int
    named : dict of str, optional
        Texts in place of what is found out about a part and all that belongs to it.

    Raises
    ------
    ConventionError
        If `named` has something that is no part, or no text.
    """

    def __init__(
        self,
        training: Training,
        params: Tree,
        seed: int,
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.parts: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        for name in IDENTIFIED:
            found = identify(getattr(training, name), name)
            self.parts |= found.parts
            self.unknown |= found.unknown
        held_out = training.validation
        for name, data in zip(DATA, (training.data, held_out), strict=True):
            if data is not None and isinstance(data.x, Reader):
                self.unknown |= identify_source(data.x.source, name).unknown
                for sample, text in fingerprints(data.x.source).items():
                    self.parts[f"{name}.{sample}"] = f"CRC-32 {zlib.crc32(text.encode()):08x}"
        self.settings: dict[str, str | None] = {
            "seed": str(seed),
            "samples": repr(training.data.samples),
            "dtype": str(tree.leaves(params)[0].dtype),
            "data": fingerprint(training.data),
            "validation": None if held_out is None else fingerprint(held_out),
            "start": checksum(tree.leaves(params)),
        }
        if training.scale is not None:
            self.settings["scale"] = repr(training.scale)
        self.reprs = {name: repr(getattr(training, name)) for name in IDENTIFIED}
        self.named = {} if named is None else self._check_named(named)
        for name, text in self.named.items():
            self._name(name, f"{NAMED}{text!r}")

    def _check_named(self, named: Any) -> dict[str, str]:
        known = (*self.parts, *DATA)
        if not isinstance(named, Mapping):
            raise ConventionError(f"identity is {named!r}, expected a dict from part to text")
        for name, text in named.items():
            if name not in known:
                raise ConventionError(
                    f"identity names {name!r}, which is no part of the run; there are "
                    f"{', '.join((*IDENTIFIED, *DATA))} and what they hold{suggest(name, known)}"
                )
            if not isinstance(text, str):
                raise ConventionError(f"identity names {name!r} {text!r}, expected a text")
        return dict(named)

    def _name(self, name: str, text: str) -> None:
        """Put a text in the place of a part and of all that belongs to it."""
        self.unknown = {n: t for n, t in self.unknown.items() if not is_within(n, name)}
        self.parts = {n: t for n, t in self.parts.items() if not is_within(n, name)}
        if name in DATA:
            self.settings[name] = text
        else:
            self.parts[name] = text

    def warn(self) -> None:
        """Say which parts cannot be compared, if there are any."""
        if self.unknown:
            listed = ", ".join(f"{name} ({what})" for name, what in self.unknown.items())
            first = next(iter(self.unknown))
            outer = first.partition(".")[0]
            example = outer if outer in DATA else first
            warnings.warn(
                f"a resumed run is not compared with this one in {listed}; name such parts "
                f"yourself: identity={{{example!r}: 'a text'}}",
                stacklevel=4,  # the caller of fit
            )

    def contents(self) -> dict[str, Mapping[str, str | None]]:
        """What a checkpoint holds."""
        return {"settings": self.settings, "identity": self.parts}

    def check(self, saved: Mapping[str, Any], path: Path) -> None:
        """Raise `CheckpointError` unless the saved contents are those of this run."""
        # A checkpoint without an identity is of a version that compared the reprs.
        parts = self.parts if "identity" in saved else self.reprs
        ours: dict[str, str | None] = {**parts, **self.settings}
        theirs: dict[str, str | None] = {**saved.get("identity", {}), **saved["settings"]}
        for name in dict.fromkeys([*ours, *theirs]):
            if theirs.get(name) != ours.get(name) and not self._is_accepted(name, theirs, ours):
                before = _show(name, theirs.get(name, ABSENT), "other")
                now = _show(name, ours.get(name, ABSENT), "these")
                raise CheckpointError(
                    f"cannot resume {path}: its {name} was {before}, now it is {now}; use "
                    "the same settings or choose another folder" + self._remedy(name)
                )

    def _is_accepted(
        self, name: str, theirs: Mapping[str, str | None], ours: Mapping[str, str | None]
    ) -> bool:
        """Whether a difference does not count."""
        # The caller gives a name to what had none.
        for outer in self.named:
            if is_within(name, outer) and not str(theirs.get(outer)).startswith(NAMED):
                return True
        # The code was compiled by another version of Python.
        versions = [str(part.get(name)).partition(",")[0] for part in (theirs, ours)]
        if not name.endswith(CODE) or name not in theirs or name not in ours:
            return False
        if versions[0] == versions[1]:
            return False
        warnings.warn(
            f"the code of {name.removesuffix(CODE)} is not compared: the run was begun by "
            f"{versions[0]}, this is {versions[1]}",
            stacklevel=5,  # the caller of fit
        )
        return True

    def _remedy(self, name: str) -> str:
        """The end of the message about a part that the caller may name."""
        if name in self.settings and name not in DATA:
            return ""
        return f"; if it is the same after all, give it a name: identity={{{name!r}: 'a text'}}"


def _show(name: str, text: str | None, which: str) -> str:
    """The text of a part, in which words take the place of a checksum."""
    content = "code" if name.endswith(CODE) else "weights" if name == "start" else "values"
    return re.sub("CRC-32 [0-9a-f]{8}", f"{which} {content}", str(text))


def is_within(name: str, outer: str) -> bool:
    """Whether a part is the part `outer`, or belongs to it."""
    return name == outer or name.startswith(f"{outer}.")
