"""`fit`: the training loop."""

from ttref.arrays import namespace
from ttref.checks import check_count
from ttref.errors import CheckpointError
from ttref.machine import threads
from ttref.machine.memory import keep_freed_memory
from ttref.optim import EMA
from ttref.rng import stream
from ttref.train.diagnosis import loud_later
from ttref.train.epoch import finish_epoch, history, train_epoch
from ttref.train.graph import GraphStepper
from ttref.train.interrupt import Interrupted, deferred_interrupt
from ttref.train.run import Folder
from ttref.train.step import Stepper
from ttref.train.training import Training


def fit(
    model,
    params,
    data,
    optimizer,
    epochs,
    *,
    batch_size=64,
    loss="softmax_cross_entropy",
    validation=None,
    l2=None,
    clip_norm=None,
    ema=None,
    early_stopping=None,
    seed=0,
    out=None,
    resume=False,
    progress=True,
    graph=False,
):
    """Train `model` from `params` on `data`.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        As ``model.init`` makes it; not changed.
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        Arrays of the parameters' namespace and dtype; the first axis counts samples.
    optimizer : SGD or Adam
    epochs : int
        Passes over the data in all, those before a resume included.
    batch_size : int
        The last batch of an epoch may be smaller.
    loss : str
        softmax_cross_entropy, binary_cross_entropy or mean_squared_error.
    validation : like `data`, optional
        Evaluated after every epoch in batches of as many samples, with the moving average of the
        weights if there is one.
    l2 : dict from parameter name to rate, optional
        Penalty ``rate * sum(p ** 2)``, added to the training loss; names as in `ops.l2`.
    clip_norm : float, optional
        Bound on the global norm of the gradient.
    ema : float, optional
        Decay of an exponential moving average of the weights.
    early_stopping : EarlyStopping, optional
    seed : int
        Of the shuffling and of dropout.
    out : str or Path, optional
        Folder for ``checkpoint.npz`` and ``history.jsonl``, written every epoch and on Ctrl-C.
    resume : bool
        Continue the run in `out`, if there is one, bit for bit as if it had never stopped.
    progress : bool
        Whether a progress bar is shown.
    graph : bool
        On a GPU, take steps by CUDA graphs, see docs/gpu.md: the same results, fewer launches.

    Returns
    -------
    History

    Raises
    ------
    ShapeError, DataError, DtypeError, ConventionError
        Before anything is computed, if the arguments do not fit.
    CheckpointError
        If `out` holds a run and `resume` is False, or a damaged one, or one with other settings.
    DeviceError
        If `graph` is True where there is no GPU, or for a step that cannot be recorded.
    DivergenceError
        If the loss is not finite; names the first layer whose output is not.
    Interrupted
        On Ctrl-C, after the step at hand; a `KeyboardInterrupt` with the history so far.
    """
    check_count("epochs", epochs)
    average = None if ema is None else EMA(ema)
    training = Training(
        model, data, validation, optimizer, batch_size, loss, l2, clip_norm, average, early_stopping
    ).checked(params)
    run = training.start(params, stream(seed, "shuffle and dropout"))
    folder = Folder(out, training.settings(params, seed) if out is not None else {})
    folder.prepare(resume)
    run = _not_beyond(epochs, folder.resume(namespace(run.vectors["params"])) or run, folder)
    keep_freed_memory()
    plain = Stepper(training, run)
    stepper = GraphStepper(plain, run) if graph else plain
    _train(stepper, training, run, epochs, folder, progress)
    return history(training, run)


def _train(stepper, training, run, epochs, folder, progress):
    """Bring `run` to the end, or to Ctrl-C, and save it after every epoch."""
    from tqdm import tqdm

    steps = training.steps_per_epoch
    done = run.epoch * steps + run.step
    with (
        deferred_interrupt() as interrupted,
        tqdm(total=epochs * steps, initial=done, unit="step", disable=not progress) as bar,
        loud_later(),
        threads.owned(),
    ):
        while run.epoch < epochs and not run.finished:
            bar.set_description(f"epoch {run.epoch + 1}/{epochs}")
            if train_epoch(stepper, run, bar, interrupted):
                finish_epoch(training, run)
            folder.save(run)
            if interrupted():
                saved = f"; {folder.checkpoint} can be resumed" if folder.checkpoint else ""
                raise Interrupted(
                    f"stopped after epoch {run.epoch}, step {run.step}{saved}",
                    history(training, run),
                )


def _not_beyond(epochs, run, folder):
    """The run, if it has not taken more steps than are asked for."""
    if run.epoch > epochs or (run.epoch == epochs and run.step):
        steps = f" and {run.step} steps" if run.step else ""
        raise CheckpointError(
            f"{folder.checkpoint} has {run.epoch} epochs{steps} already, more than the {epochs} "
            "asked for"
        )
    return run
