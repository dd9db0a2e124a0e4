"""One run of an experiment: stages of training, and the results that they leave in a folder.

``DIR/results.json`` and ``DIR/curves.png`` have the results of all stages. Each stage trains one
network in ``DIR/STAGE`` (``checkpoint.npz``, ``history.jsonl``), so that an interrupted experiment
can be resumed; an experiment of a single stage trains in DIR itself.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ttref import storage
from ttref.arrays import device_namespace, numpy_namespace
from ttref.contracts import Array, Optimizer, Source, Tree
from ttref.datasets.samples import Samples
from ttref.errors import CheckpointError, DivergenceError, FolderInUseError, visible
from ttref.experiments.options import Options
from ttref.experiments.results import Row, results_table
from ttref.layers import Layer, Sequential
from ttref.rng import stream, to_device
from ttref.train import History, Interrupted, Subset, fit
from ttref.train.checkpoint import CHECKPOINT


@dataclass(frozen=True)
class Stage:
    """A network, and how it is trained; `ttref.fit` explains the settings."""

    name: str  # of its row in the results
    model: Sequential
    optimizer: Optimizer
    epochs: int  # unless the options give another number
    recorded: float | None = None  # the accuracy that the original states
    folder: str = ""  # inside the folder of the run
    batch_size: int = 64
    loss: str = "softmax_cross_entropy"
    l2: Mapping[str, float] | None = None
    ema: float | None = None


class Trial:
    """One run of an experiment: trains stages, collects rows and histories, writes results.

    Parameters
    ----------
    name : str
        Of the experiment.
    options : Options
    several_stages : bool
        Whether a later stage builds on the earlier ones.

    Raises
    ------
    CheckpointError
        If the folder has a run that is not to be resumed, or results of another one.
    DeviceError
        If the device is not there.
    """

    def __init__(self, name: str, options: Options, several_stages: bool = False) -> None:
        self.name = name
        self.options = options
        self.several_stages = several_stages
        self.xp = device_namespace(options.device)
        self.out = Path(options.out or Path("runs") / options.folder_name(name))
        self.rows: list[Row] = []
        self.histories: dict[str, History] = {}
        self.full_epochs: dict[str, int] = {}  # of each stage that was trained
        used = sorted(self.out.rglob(CHECKPOINT)) if self.out.exists() else []
        if used and not options.resume:
            raise FolderInUseError(
                f"{used[0]} exists already; continue that run (resume=True) or choose another "
                "folder (out=)"
            )
        self._check_same_run()

    def _check_same_run(self) -> None:
        """Raise `CheckpointError` if the results in the folder are those of another run."""
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
                raise FolderInUseError(
                    f"{path} is of a run whose {name} was {theirs.get(name)}, now it is {value}; "
                    "choose another folder (out=)"
                )

    def _identity(self) -> dict[str, Any]:
        """Return the values that a resumed run must have in common with its beginning.

        A single stage may be resumed for more epochs. Of several, the later ones build on the
        earlier ones as they were.
        """
        identity = {"experiment": self.name, **self.options.identity()}
        if self.several_stages:
            identity["epochs"] = self.options.epochs
        return identity

    @property
    def device(self) -> str:
        """``"cpu"`` or the name of the GPU."""
        if self.xp is numpy_namespace:
            return "cpu"
        import cupy

        number = cupy.cuda.Device().id
        return cupy.cuda.runtime.getDeviceProperties(number)["name"].decode()

    def put(self, x: Array) -> Array:
        """Move features to the device, in the dtype of the run."""
        return to_device(x, self.options.dtype, self.xp)

    def to_device(self, samples: Samples) -> Samples:
        """Move samples to the device, the features in the dtype of the run.

        The features of a source are left where they are; training moves each batch.
        """
        x = samples.x if isinstance(samples.x, Source) else self.put(samples.x)
        return Samples(x, self.xp.asarray(samples.target))

    def limit(self, samples: Samples) -> Samples:
        """Move the training samples that ``--limit`` leaves to the device, as `to_device` does."""
        x = samples.x
        count = self.options.limit
        x = Subset(x, range(len(x))[:count]) if isinstance(x, Source) else x[:count]
        return self.to_device(Samples(x, samples.target[:count]))

    def init(self, model: Layer, name: str) -> Tree:
        """Draw initial parameters from the seed and the name."""
        rng = stream(self.options.seed, f"init {name}")
        return model.init(rng, self.options.dtype, self.xp)

    def train(self, stage: Stage, params: Tree, data: Samples, validation: Samples) -> History:
        """Train a stage by `ttref.fit` as the options say, and print what is trained.

        If training is interrupted or diverges, the rows of the finished stages are written.
        """
        shape = data.x.shape if isinstance(data.x, Source) else data.x.shape[1:]
        print(f"\n{stage.name}: {stage.optimizer}\n{stage.model.summary(shape)}")
        self._keep_results()
        try:
            history = fit(
                stage.model,
                params,
                data,
                stage.optimizer,
                self.options.epochs or stage.epochs,
                validation=validation,
                batch_size=stage.batch_size,
                loss=stage.loss,
                l2=stage.l2,
                ema=stage.ema,
                seed=self.options.seed,
                out=self.out / stage.folder,
                resume=self.options.resume,
                exact=self.options.exact,
                progress=self.options.progress,
            )
        except (Interrupted, DivergenceError):
            self._keep_results()
            raise
        self.histories[stage.name] = history
        self.full_epochs[stage.name] = stage.epochs
        return history

    def train_row(self, stage: Stage, params: Tree, data: Samples, validation: Samples) -> Tree:
        """Train a stage, record its last validation accuracy, and return its parameters."""
        history = self.train(stage, params, data, validation)
        ours = history.rows[-1]["val_accuracy"]
        self.record(stage.name, ours, stage.recorded, stage.model, history)
        return history.params

    def record(
        self,
        name: str,
        ours: float,
        recorded: float | None,
        model: Layer,
        history: History | None = None,
        metric: str = "val accuracy",
    ) -> None:
        """Add a row to the results; its losses and seconds are those of the history's epochs."""
        epochs = history.rows if history else ()
        losses = tuple(epoch["loss"] for epoch in epochs)
        seconds = sum(epoch["seconds"] for epoch in epochs)
        full = self.full_epochs.get(name, 0)
        parameters = model.num_params
        self.rows.append(Row(name, metric, ours, recorded, parameters, losses, seconds, full))

    def finish(self) -> list[Row]:
        """Write ``results.json`` and ``curves.png``, print the table, and return the rows."""
        self._write_results()
        print(f"\n{self.name}, seed {self.options.seed}, {self.device}, {self.options.dtype}")
        for name in ("epochs", "limit"):
            if getattr(self.options, name) is not None:
                print(f"not the full experiment: --{name} {getattr(self.options, name)}")
        print(results_table(self.rows))
        self._draw()
        return self.rows

    def _keep_results(self) -> None:
        """Write the results so far, unless the folder has more rows from an earlier time.

        So the folder says whose it is from the first step on.
        """
        path = self.out / "results.json"
        known = json.loads(path.read_text()).get("rows", []) if path.exists() else []
        if not known or len(known) < len(self.rows):
            self._write_results()

    def _write_results(self) -> None:
        results = {
            **self._identity(),
            "epochs": self.options.epochs,
            "device": self.device,
            "rows": [asdict(row) for row in self.rows],
        }
        with storage.atomic_write(self.out / "results.json") as file:
            file.write((json.dumps(results, indent=2) + "\n").encode())

    def _draw(self) -> None:
        try:
            from ttref.experiments.curves import draw_curves
        except ImportError:
            print("no picture of the learning curves: pip install 'ttref[plot]'")
            return
        recorded = {row.name: row.recorded for row in self.rows}
        title = f"{self.name}, seed {self.options.seed}"
        draw_curves(self.out / "curves.png", self.histories, recorded, title)
        print(f"learning curves: {visible(self.out / 'curves.png')}")
