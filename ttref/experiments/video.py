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
from pathlib import Path
from typing import Annotated

from ttref.arrays import to_numpy
from ttref.datasets import hmdb51, hollywood2, ucf11, video, youtube_celebrities
from ttref.datasets.listings import Listing
from ttref.datasets.samples import Samples
from ttref.datasets.video import Frames
from ttref.experiments.cells import DROPOUT, cell_option, folder_name, recurrent, row_name
from ttref.experiments.metrics import mean_average_precision
from ttref.experiments.options import DATA, DENSE, Option, Options
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import Dense, Dropout, Sequential
from ttref.optim import Adam
from ttref.rng import stream
from ttref.train import Subset, predict

OUT_MODES = (4, 4, 4, 4)
RANK = 4

CACHE = Option(
    "folder for decoded frames (NAME-frames beside the data)", metavar="DIR", path="new folder"
)
VERIFY = Option("compare all bytes of videos and decoded frames with their records, not samples")
FOLD = Option(
    "which fifth is the test set", choices=(0, 1, 2, 3, 4), identity=True, in_folder_name=True
)
SPLIT = Option("which official split", choices=(1, 2, 3), identity=True, in_folder_name=True)


@dataclass(frozen=True, kw_only=True)
class VideoOptions(Options):
    """The options of all experiments on video."""

    cell: Annotated[str, cell_option("gru", "lstm")] = "gru"
    dense: Annotated[bool, DENSE] = False
    data: Annotated[str | Path | None, DATA] = None
    cache: Annotated[str | Path | None, CACHE] = None
    verify: Annotated[bool, VERIFY] = False


@dataclass(frozen=True, kw_only=True)
class FoldOptions(VideoOptions):
    """The options where there is no official split."""

    fold: Annotated[int, FOLD] = 0


@dataclass(frozen=True, kw_only=True)
class SplitOptions(VideoOptions):
    """The options where there are several official splits."""

    split: Annotated[int, SPLIT] = 1


@dataclass(frozen=True, kw_only=True)
class VideoSetup:
    """What tells one experiment on video from the others.

    Parameters
    ----------
    load : callable
        From the options to the `Listing` of the clips.
    frames : Frames
        What is kept of a video.
    in_modes : tuple of int
        Factors of the numbers in a frame.
    optimizer : Adam
    batch_size, epochs : int
    head_dropout : float
        Rate of the dropout before the last layer.
    """

    load: Callable[..., Listing]
    frames: Frames
    in_modes: tuple[int, ...]
    optimizer: Adam
    batch_size: int
    epochs: int
    head_dropout: float = 0.0

    def network(self, cell: str, dense: bool, classes: int) -> Sequential:
        """Make the recurrent layer and the last one, with dropout between them if there is some."""
        layer = recurrent(
            cell, dense, self.in_modes, OUT_MODES, RANK, dropout=DROPOUT, mask_value=0
        )
        dropout = [Dropout(self.head_dropout)] if self.head_dropout else []
        last = Dense(prod(OUT_MODES), classes)
        return Sequential([layer, *dropout, last])

    def train_stages(self, trial: Trial, options: VideoOptions) -> None:
        """Train the TT network or, with ``dense``, its dense twin."""
        # The clips, decoded once.
        listing = self.load(options)
        root = listing.root.resolve()
        cache = options.cache or root.with_name(f"{root.name}-frames")
        clips = video.decode_all(listing, self.frames, cache, options.progress, full=options.verify)

        # Samples are read from them when their turn comes.
        train = stream(options.seed, "order").permutation(listing.train)
        test = listing.test
        data = trial.limit(Samples(Subset(clips, train), listing.targets[train]))
        validation = trial.to_device(Samples(Subset(clips, test), listing.targets[test]))

        # One stage; where a clip has several labels, its score is the mean average precision.
        stage = self._stage(options, listing)
        params = trial.init(stage.model, stage.name)
        if listing.multilabel:
            history = trial.train(stage, params, data, validation)
            scores = predict(stage.model, history.params, validation.x, self.batch_size)
            ours = mean_average_precision(to_numpy(scores), listing.targets[test])
            trial.record(stage.name, ours, None, stage.model, history, "average precision")
        else:
            trial.train_row(stage, params, data, validation)

    def _stage(self, options: VideoOptions, listing: Listing) -> Stage:
        """Describe the network, and how it is trained."""
        net = self.network(options.cell, options.dense, len(listing.classes))
        return Stage(
            row_name(options.cell, options.dense),
            net,
            self.optimizer,
            self.epochs,
            folder=folder_name(options.dense),
            batch_size=self.batch_size,
            loss="binary_cross_entropy" if listing.multilabel else "softmax_cross_entropy",
            l2={f"{2 if self.head_dropout else 1}.kernel": 0.01},
        )


def load_ucf11(options: FoldOptions) -> Listing:
    """List the clips of UCF11, one fold of five to test on."""
    return ucf11.load(options.data, options.fold, options.seed)


def load_hollywood2(options: VideoOptions) -> Listing:
    """List the clips of Hollywood2 in their official split."""
    return hollywood2.load(options.data)


def load_youtube_celebrities(options: FoldOptions) -> Listing:
    """List the clips of YouTube Celebrities, one fold of five to test on."""
    return youtube_celebrities.load(options.data, options.fold, options.seed)


def load_hmdb51(options: SplitOptions) -> Listing:
    """List the clips of an official split of HMDB51."""
    return hmdb51.load(options.data, options.split)


UCF11 = VideoSetup(
    load=load_ucf11,
    frames=Frames(120, 160, most=1492),
    in_modes=(8, 20, 20, 18),
    optimizer=Adam(1e-4),
    batch_size=16,
    epochs=1001,
)
HOLLYWOOD2 = VideoSetup(
    load=load_hollywood2,
    frames=Frames(100, 234, most=1496),
    in_modes=(10, 18, 13, 30),
    optimizer=Adam(1e-3),
    batch_size=32,
    epochs=501,
)
YOUTUBE_CELEBRITIES = VideoSetup(
    load=load_youtube_celebrities,
    frames=Frames(120, 160, most=85),
    in_modes=(4, 20, 20, 36),
    optimizer=Adam(1e-3),
    batch_size=16,
    epochs=101,
)
HMDB51 = VideoSetup(
    load=load_hmdb51,
    frames=Frames(120, 160, most=90, every=3),
    in_modes=(4, 20, 20, 36),
    optimizer=Adam(1e-4),
    batch_size=16,
    epochs=401,
    head_dropout=0.25,
)

SPECS = (
    Spec(
        name="ucf11",
        description="TT_RNN's UCF11: 11 sports on video, one of five folds (needs the official "
        "files)",
        data="the unpacked folder UCF11_updated_mpg",
        options=FoldOptions,
        train_stages=UCF11.train_stages,
    ),
    Spec(
        name="hollywood2",
        description="TT_RNN's Hollywood2: which of 12 actions a film shows (needs the official "
        "files)",
        data="the unpacked folder Hollywood2",
        options=VideoOptions,
        train_stages=HOLLYWOOD2.train_stages,
    ),
    Spec(
        name="youtube-celebrities",
        description="TT_RNN's YouTube Celebrities: 47 people, one of five folds (needs the "
        "official files)",
        data="the unpacked folder ytcelebrity",
        options=FoldOptions,
        train_stages=YOUTUBE_CELEBRITIES.train_stages,
    ),
    Spec(
        name="hmdb51",
        description="TT_RNN's HMDB51: 51 human motions, an official split (needs the official "
        "files)",
        data="the unpacked folders hmdb51_org and testTrainMulti_7030_splits",
        options=SplitOptions,
        train_stages=HMDB51.train_stages,
    ),
)
