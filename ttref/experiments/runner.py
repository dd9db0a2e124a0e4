"""What experiments share: options, stages of training, and the results they leave in a folder.

``DIR/results.json`` and ``DIR/curves.png`` sum an experiment up. Each of its stages trains one
network in ``DIR/STAGE`` (``checkpoint.npz``, ``history.jsonl``), so that an interrupted experiment
resumes where it was; an experiment of a single stage trains in DIR itself.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ttref import storage
from ttref.arrays import device_namespace, numpy_namespace
from ttref.checks import check_count
from ttref.contracts import Source
from ttref.errors import CheckpointError, DivergenceError
from ttref.rng import check_seed, stream, to_device
from ttref.tables import table
from ttref.train import Interrupted, Subset, fit
from ttref.train.checkpoint import CHECKPOINT


@dataclass(frozen=True)
class Options:
    """What the command line says about a run."""

    seed: int = 0
    epochs: int | None = None  # in place of each stage's own number
    limit: int | None = None  # train on the first so many samples only
    device: str = "cpu"
    dtype: str = "float32"
    out: str | None = None
    resume: bool = False
    dense: bool = False
    data: str | None = None
    cell: str | None = None  # of a recurrent experiment
    fold: int | None = None  # which part of the data is the test set
    cache: str | None = None  # folder of decoded video
    net: str | None = None  # which network, where there are several
    pretrained: str | None = None  # checkpoint to start from
    load: tuple = ("*",)  # names of the layers to take from it
    progress: bool = True

    def __post_init__(self):
        check_seed(self.seed)
        for name in ("epochs", "limit"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))


@dataclass(frozen=True)
class Row:
    """One line of the table of results."""

    name: str
    metric: str
    ours: float
    recorded: float | None
    parameters: int
    losses: tuple  # of each epoch of training; none for a network that was only converted
    seconds: float  # of these epochs


class Experiment:
    """One run of an experiment: trains its stages, collects rows and histories, writes results."""

    def __init__(self, name, options, several_stages=False):
        self.name, self.options, self.several_stages = name, options, several_stages
        self.xp = device_namespace(options.device)
        self.out = Path(options.out or Path("runs") / self._label())
        self.rows, self.histories = [], {}
        used = sorted(self.out.rglob(CHECKPOINT)) if self.out.exists() else []
        if used and not options.resume:
            raise CheckpointError(
                f"{used[0]} exists already; go on with that run (--resume) or choose another --out"
            )
        self._check_same_experiment()

    def _label(self):
        cell, fold = self.options.cell, self.options.fold
        parts = (self.name, cell, self.options.net, None if fold is None else f"fold{fold}")
        return "-".join([*filter(None, parts), f"seed{self.options.seed}"])

    def _check_same_experiment(self):
        """Raise `CheckpointError` if the results in the folder are those of another one."""
        path = self.out / "results.json"
        if not path.exists():
            return
        try:
            theirs = json.loads(path.read_text())
        except ValueError:
            theirs = None
        if not isinstance(theirs, dict):
            raise CheckpointError(f"{path} is damaged, or not the results of an experiment")
        for name, value in self._identity().items():
            if theirs.get(name) != value:
                raise CheckpointError(
                    f"{path} is of a run whose {name} was {theirs.get(name)}, now it is {value}; "
                    "choose another --out"
                )

    def _identity(self):
        """What makes a run the same experiment.

        A single stage may be resumed for more epochs. Of several, the later ones build on the
        earlier ones as they were.
        """
        epochs = ("epochs",) if self.several_stages else ()
        names = ("seed", "dtype", "limit", "dense", "cell", "fold", "net", *epochs)
        return {"experiment": self.name, **{name: getattr(self.options, name) for name in names}}

    @property
    def device(self):
        """``"cpu"`` or the name of the GPU."""
        if self.xp is numpy_namespace:
            return "cpu"
        import cupy

        return cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()

    def put(self, x):
        """Features on the device, in the dtype of the run."""
        return to_device(x, self.options.dtype, self.xp)

    def limited(self, x, y):
        """The training samples that ``--limit`` leaves; arrays are moved to the device."""
        limit = self.options.limit
        if isinstance(x, Source):
            x = Subset(x, range(len(x))[:limit])
        else:
            x = self.put(x[:limit])
        return x, self.xp.asarray(y[:limit])

    def init(self, model, stage):
        """Initial parameters of a stage, from the seed."""
        rng = stream(self.options.seed, f"init {stage}")
        return model.init(rng, self.options.dtype, self.xp)

    def train(self, stage, model, params, data, optimizer, epochs, folder="", **settings):
        """`fit`, with the options' epochs, seed and folder; prints what is trained."""
        x = data[0]
        sample_shape = x.shape if isinstance(x, Source) else x.shape[1:]
        print(f"\n{stage}: {optimizer}\n{model.summary(sample_shape)}")
        try:
            history = fit(
                model,
                params,
                data,
                optimizer,
                self.options.epochs or epochs,
                seed=self.options.seed,
                out=self.out / folder,
                resume=self.options.resume,
                progress=self.options.progress,
                **settings,
            )
        except (Interrupted, DivergenceError):
            if not (self.out / "results.json").exists():
                self._write_results()  # what is finished, and with which options
            raise
        self.histories[stage] = history
        return history

    def record(self, name, ours, recorded, model, history=None, metric="val accuracy"):
        """Add a row to the results; the seconds are those of the history's epochs."""
        epochs = history.rows if history else []
        losses, seconds = (tuple(row[key] for row in epochs) for key in ("loss", "seconds"))
        row = Row(name, metric, ours, recorded, model.num_params, losses, sum(seconds))
        self.rows.append(row)

    def finish(self):
        """Write ``results.json`` and ``curves.png``, print the table, and return the rows."""
        self._write_results()
        print(f"\n{self.name}, seed {self.options.seed}, {self.device}, {self.options.dtype}")
        for name in ("epochs", "limit"):
            if getattr(self.options, name) is not None:
                print(f"not the full experiment: --{name} {getattr(self.options, name)}")
        print(results_table(self.rows))
        self._draw()
        return self.rows

    def _write_results(self):
        results = {
            **self._identity(),
            "epochs": self.options.epochs,
            "device": self.device,
            "rows": [asdict(row) for row in self.rows],
        }
        with storage.atomic_write(self.out / "results.json") as file:
            file.write((json.dumps(results, indent=2) + "\n").encode())

    def _draw(self):
        try:
            from ttref.experiments.curves import draw_curves
        except ImportError:
            print("no picture of the learning curves: pip install 'ttref[plot]'")
            return
        recorded = {row.name: row.recorded for row in self.rows}
        draw_curves(self.out / "curves.png", self.histories, recorded)
        print(f"learning curves: {self.out / 'curves.png'}")


def results_table(rows):
    """The rows as text, ours beside what the original recorded."""
    return table(
        ("network", "metric", "ours", "recorded", "parameters", "epochs", "s/epoch"),
        [
            (
                row.name,
                row.metric,
                f"{row.ours:.4f}",
                None if row.recorded is None else f"{row.recorded:.4f}",
                row.parameters,
                len(row.losses),
                f"{row.seconds / len(row.losses):.2f}" if row.losses else None,
            )
            for row in rows
        ],
    )
