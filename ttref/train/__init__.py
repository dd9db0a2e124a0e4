"""Training: `fit`, with progress, history, checkpoints and bit-exact resume; and `evaluate`."""

from ttref.train.callbacks import EpochReport, StepReport
from ttref.train.evaluation import evaluate, predict
from ttref.train.history import History
from ttref.train.interrupt import Interrupted
from ttref.train.loop import fit
from ttref.train.source import Subset
from ttref.train.stopping import EarlyStopping

__all__ = [
    "EarlyStopping",
    "EpochReport",
    "History",
    "Interrupted",
    "StepReport",
    "Subset",
    "evaluate",
    "fit",
    "predict",
]
