"""Options of an experiment: declared once, for Python and for the command line.

Each experiment has a subclass of `Options`, whose fields are the options that it uses and no other.
A field with an `Option` in its type is also an option of ``ttref train``::

    cell: Annotated[str, Option("the recurrent cell", choices=("gru", "lstm"))] = "gru"

The name of the field is the name of the option, ``--cell``. A field without a default is required.
A bool is a flag, a tuple takes one or more words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from ttref.checks import check_choice, check_count
from ttref.errors import ConventionError
from ttref.rng import check_seed


@dataclass(frozen=True)
class Option:
    """What an option means, and which values it accepts.

    Parameters
    ----------
    help : str
        ``FOLDER`` in it stands for the default name of the run's folder.
    choices : tuple
        The values that are accepted; empty if any value is.
    least : 0 or 1, optional
        The value is an integer, and not smaller than this.
    metavar : str, optional
        What help shows in place of the value.
    path : str, optional
        The value is a path: of a file or folder that is read, or of a folder that is written in.
    identity : bool
        Whether a run is another one if this option differs, so that it cannot be resumed with it.
    in_folder_name : bool
        Whether the value is part of the default name of the run's folder.
    """

    help: str
    choices: tuple[Any, ...] = ()
    least: int | None = None
    metavar: str | None = None
    path: Literal["file", "folder", "new folder"] | None = None
    identity: bool = False
    in_folder_name: bool = False

    def check(self, name: str, value: object) -> None:
        """Raise `ConventionError` unless `value` is accepted."""
        if self.choices:
            check_choice(name, value, self.choices)
        if self.least == 0:
            check_seed(value)
        if self.least == 1:
            check_count(name, value)


SEED = Option("of initial weights and shuffling", least=0, identity=True)
EPOCHS = Option("epochs of every stage, in place of its own number", least=1)
LIMIT = Option("train on the first LIMIT samples only", least=1, identity=True)
DEVICE = Option("where to compute", choices=("cpu", "gpu", "auto"))
DTYPE = Option("precision", choices=("float32", "float64"), identity=True)
OUT = Option("folder for the results (runs/FOLDER)", metavar="DIR", path="new folder")
RESUME = Option("continue the run in DIR, bit for bit")
EXACT = Option("with --resume: refuse a run that may not go on bit for bit on this machine")
DENSE = Option("train the dense twin of the TT network only", identity=True)
DATA = Option("folder of the data sets (TTREF_DATA)", metavar="DIR", path="folder")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that all experiments have.

    Raises
    ------
    ConventionError
        If a value is not accepted.
    """

    seed: Annotated[int, SEED] = 0
    epochs: Annotated[int | None, EPOCHS] = None
    limit: Annotated[int | None, LIMIT] = None
    device: Annotated[str, DEVICE] = "cpu"
    dtype: Annotated[str, DTYPE] = "float32"
    out: Annotated[str | Path | None, OUT] = None
    resume: Annotated[bool, RESUME] = False
    exact: Annotated[bool, EXACT] = False
    progress: bool = True  # whether progress bars are shown

    def __post_init__(self) -> None:
        for name, option in self.declared().items():
            value = getattr(self, name)
            unused = value is None and getattr(type(self), name, ...) is None
            if not unused:
                option.check(name, value)
        if self.exact and not self.resume:
            raise ConventionError("exact is for runs that go on; choose resume too")

    @classmethod
    def declared(cls) -> dict[str, Option]:
        """Return the `Option` of every field that has one, by the name of the field."""
        hints = get_type_hints(cls, include_extras=True)
        annotations = {f.name: getattr(hints[f.name], "__metadata__", ()) for f in fields(cls)}
        return {name: found[0] for name, found in annotations.items() if found}

    def identity(self) -> dict[str, Any]:
        """Return the values by which a run is told from others, by the names of the options."""
        return {name: getattr(self, name) for name, o in self.declared().items() if o.identity}

    def folder_name(self, experiment: str) -> str:
        """Return the name of the run's folder: experiment, variant and seed, joined by hyphens."""
        return self._folder(experiment, {name: getattr(self, name) for name in self.declared()})

    @classmethod
    def default_folder_name(cls, experiment: str) -> str:
        """Return `folder_name` for the default values; a required option stands as its name."""
        defaults = {name: getattr(cls, name, name.upper()) for name in cls.declared()}
        return cls._folder(experiment, defaults)

    @classmethod
    def _folder(cls, experiment: str, values: Mapping[str, Any]) -> str:
        parts = [experiment]
        for name, option in cls.declared().items():
            if option.in_folder_name:
                is_word = isinstance(option.choices[0], str)
                parts.append(values[name] if is_word else f"{name}{values[name]}")
        return "-".join([*parts, f"seed{values['seed']}"])
