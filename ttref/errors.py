"""Errors that say what was given, what was expected and what to do. All are `ValueError`s."""


class TTRefError(ValueError):
    """Base of every error that ttref raises on purpose; the command line exits with 2 on it."""


class ShapeError(TTRefError):
    """An array's shape does not fit."""


class RankError(ShapeError):
    """The TT-ranks of a train do not chain, or its boundary ranks are not 1."""


class DtypeError(TTRefError):
    """An array holds something that is not a number, or numbers of another type than its peers."""


class InexactError(TTRefError):
    """A function has no exact value on integers or rationals (the exponential, say)."""


class ConventionError(TTRefError):
    """An option, a name or a layout that ttref does not have."""


class DataError(TTRefError):
    """A data set is missing, incomplete, damaged or mislabelled."""


class CheckpointError(TTRefError):
    """A checkpoint is damaged, of another run, or in the way."""


class FolderInUseError(CheckpointError):
    """A folder holds a run or results already, which are not those to be continued."""


class DeviceError(TTRefError):
    """A device was asked for that is not there."""


class DivergenceError(TTRefError):
    """Training produced a number that is not finite."""


class UndecidableError(TTRefError):
    """A comparison of numbers that are known up to a radius has no certain answer."""


class MissingExtraError(TTRefError):
    """An optional package is needed and not installed."""
