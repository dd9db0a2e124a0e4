"""TT_RNN's experiments on video: UCF11, Hollywood2, YouTube Celebrities, HMDB51.

The network is a cell of 256 units -> classes on RGB frames, byte - 128, padding masked. The TT cell
has out modes [4, 4, 4, 4], rank 4; dropout is .25 of input and state, l2 .01 on the last layer. The
original recorded the sizes of its tensor trains, and no accuracy.

The official files are the user's to fetch. A batch holds B T N numbers, T the frames of its longest
clip: for 16 clips of 400 frames of 120 x 160 in float32, 1.5 GB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from ttref.arrays import to_numpy
from ttref.datasets import hmdb51, hollywood2, ucf11, video, youtube_celebrities
from ttref.datasets.video import Frames
from ttref.experiments.cells import DROPOUT, cell_option, recurrent, train_rows
from ttref.experiments.metrics import average_precision
from ttref.experiments.runner import Experiment
from ttref.layers import Dense, Dropout, Sequential
from ttref.optim import Adam
from ttref.rng import stream
from ttref.train import Subset, predict

OUT_MODES = (4, 4, 4, 4)
FOLD = {"type": int, "choices": range(5), "default": 0, "help": "which fifth is the test set (0)"}
SPLIT = {"type": int, "choices": (1, 2, 3), "default": 1, "help": "which official split (1)"}
CACHE = {"metavar": "DIR", "help": "folder for decoded frames (NAME-frames beside the data)"}


@dataclass(frozen=True)
class VideoExperiment:
    """One of them, with what it has of its own."""

    name: str
    DESCRIPTION: str
    load: Callable  # from Options to Listing
    frames: Frames
    in_modes: tuple
    optimizer: Adam
    batch_size: int
    epochs: int
    part: dict  # the option that chooses the test set
    head_dropout: float = 0.0
    NEEDS_DATA: bool = True

    @property
    def OPTIONS(self):
        """The options of its command line beside those that all experiments have."""
        return {"--cell": cell_option("gru", "lstm"), **self.part, "--cache": CACHE}

    def network(self, cell, dense, classes):
        """The recurrent layer and the last one, with dropout between them where there is some."""
        settings = {"mask_value": 0, **DROPOUT}
        layer = recurrent(cell, dense, self.in_modes, OUT_MODES, 4, **settings)
        last = Dense(prod(OUT_MODES), classes)
        dropout = [Dropout(self.head_dropout)] if self.head_dropout else []
        return Sequential([layer, *dropout, last])

    def run(self, options):
        """Train the TT network or, with ``dense``, its dense twin."""
        experiment = Experiment(self.name, options)
        listing = self.load(options)
        beside = listing.root.resolve()
        cache = options.cache or beside.with_name(f"{beside.name}-frames")
        clips = video.decode_all(listing, self.frames, cache, options.progress)
        train = stream(options.seed, "order").permutation(listing.train)
        test = Subset(clips, listing.test)
        multilabel = listing.targets.ndim == 2

        def network(cell, dense):
            return self.network(cell, dense, len(listing.classes))

        def mean_precision(net, params):
            scores = to_numpy(predict(net, params, test, self.batch_size))
            targets = listing.targets[listing.test]
            found = [average_precision(*both) for both in zip(scores.T, targets.T, strict=True)]
            return "average precision", float(np.mean(found))

        train_rows(
            experiment,
            [options.dense],
            network,
            experiment.limited(Subset(clips, train), listing.targets[train]),
            self.optimizer,
            self.epochs,
            score=mean_precision if multilabel else None,
            validation=(test, experiment.xp.asarray(listing.targets[listing.test])),
            batch_size=self.batch_size,
            l2={f"{2 if self.head_dropout else 1}.kernel": 0.01},
            loss="binary_cross_entropy" if multilabel else "softmax_cross_entropy",
        )
        return experiment.finish()


EXPERIMENTS = (
    VideoExperiment(
        "ucf11",
        "TT_RNN's UCF11: 11 sports on video, one of five folds (needs the official files)",
        lambda options: ucf11.load(options.data, options.fold, options.seed),
        Frames(120, 160, most=1492),
        (8, 20, 20, 18),
        Adam(1e-4),
        batch_size=16,
        epochs=1001,
        part={"--fold": FOLD},
    ),
    VideoExperiment(
        "hollywood2",
        "TT_RNN's Hollywood2: which of 12 actions a film shows (needs the official files)",
        lambda options: hollywood2.load(options.data),
        Frames(100, 234, most=1496),
        (10, 18, 13, 30),
        Adam(1e-3),
        batch_size=32,
        epochs=501,
        part={},
    ),
    VideoExperiment(
        "youtube-celebrities",
        "TT_RNN's YouTube Celebrities: 47 people, one of five folds (needs the official files)",
        lambda options: youtube_celebrities.load(options.data, options.fold, options.seed),
        Frames(120, 160, most=85),
        (4, 20, 20, 36),
        Adam(1e-3),
        batch_size=16,
        epochs=101,
        part={"--fold": FOLD},
    ),
    VideoExperiment(
        "hmdb51",
        "TT_RNN's HMDB51: 51 human motions, an official split (needs the official files)",
        lambda options: hmdb51.load(options.data, options.fold),
        Frames(120, 160, most=90, every=3),
        (4, 20, 20, 36),
        Adam(1e-4),
        batch_size=16,
        epochs=401,
        part={"--split": {"dest": "fold", **SPLIT}},
        head_dropout=0.25,
    ),
)
