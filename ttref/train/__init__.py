"""Training: `fit`, with progress, history, checkpoints and bit-exact resume; and `evaluate`."""

from ttref.train.evaluation import evaluate
from ttref.train.interrupt import Interrupted
from ttref.train.loop import fit
from ttref.train.run import History
from ttref.train.stopping import EarlyStopping

__all__ = ["EarlyStopping", "History", "Interrupted", "evaluate", "fit"]
