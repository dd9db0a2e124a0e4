"""`fit`: the training loop."""

from collections.abc import Mapping
from os import PathLike

from ttref.checks import check_count, check_flag
from ttref.contracts import Loss, Optimizer, Tree
from ttref.errors import CheckpointError, ConventionError
from ttref.layers import Layer
from ttref.machine.process import keep_freed_memory, own_blas_threads
from ttref.optim import EMA
from ttref.rng import stream
from ttref.train.callbacks import Callbacks, OnEpoch, OnStep
from ttref.train.checkpoint import RunFolder
from ttref.train.class_weights import ClassWeight
from ttref.train.data import Samples, prepare_data
from ttref.train.diagnosis import ignore_overflow
from ttref.train.epoch import finish_epoch, make_history, train_epoch
from ttref.train.graph import GraphStepper
from ttref.train.held_out import hold_out
from ttref.train.history import History
from ttref.train.interrupt import Interrupted, defer_interrupt
from ttref.train.state import TrainingState
from ttref.train.step import Stepper
from ttref.train.stopping import EarlyStopping
from ttref.train.training import Training, check_model


def fit(
    model: Layer,
    params: Tree,
    data: Samples,
    optimizer: Optimizer,
    epochs: int,
    *,
    batch_size: int = 64,
    loss: str | Loss = "softmax_cross_entropy",
    validation: Samples | float | None = None,
    class_weight: ClassWeight | None = None,
    scale: float | None = None,
    l2: Mapping[str, float] | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    early_stopping: EarlyStopping | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
    seed: int = 0,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    exact: bool = False,
    identity: Mapping[str, str] | None = None,
    progress: bool = True,
    graph: bool = False,
) -> History:
    """Train `model` from `params` on `data`.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        As ``model.init`` makes it; not changed.
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        Arrays of the parameters' namespace and dtype; the first axis counts samples. In place of
        the array x, a `ttref.contracts.Source` reads the samples of each batch when it is needed:
        its data may be larger than memory, and its values are not checked. If the model returns
        sequences, (B, T, C), labels and weights may be of steps, (B, T); padding does not count.
    optimizer : SGD or Adam
    epochs : int
        Passes over the data in all, those before a resume included.
    batch_size : int
        The last batch of an epoch may be smaller.
    loss : str or Loss
        softmax_cross_entropy, binary_cross_entropy or mean_squared_error; or an object with
        ``forward(prediction, target, sample_weight)`` and ``backward(dloss, cache)``, see
        `ttref.contracts.Loss`.
    validation : like `data`, or float, optional
        Evaluated after every epoch in batches of as many samples, with the moving average of the
        weights if there is one. A number in (0, 1) is the share of `data` that is held out for it:
        the samples are drawn by `seed`.
    class_weight : dict from class to number, or sequence of numbers, optional
        Factors of the weights of the training samples, by their labels; 0 leaves a class out.
    scale : float, optional
        What x of an integer dtype is multiplied by, 1/255 for 8-bit pixels, in training and
        validation. `History.scale` keeps it for `evaluate` and `predict`.
    l2 : dict from parameter name to rate, optional
        Penalty ``rate * sum(p ** 2)``, added to the training loss; names as in `ops.l2`.
    clip_norm : float, optional
        Bound on the global norm of the gradient.
    ema : float, optional
        Decay of an exponential moving average of the weights.
    early_stopping : EarlyStopping, optional
    on_step, on_epoch : functions of a StepReport and of an EpochReport, optional
        They are called after every step and after every epoch, once that is saved; after a resume,
        only for the steps and epochs that are taken then. If one returns True, the run ends, and
        can be resumed. What they raise is passed on.
    seed : int
        Of the shuffling and of dropout.
    out : str or Path, optional
        Folder for ``checkpoint.npz`` and ``history.jsonl``, written every epoch, on Ctrl-C and on
        SIGTERM. One run at a time can use it.
    resume : bool
        Continue the run in `out`, if it holds one, bit for bit as if it had never stopped. On
        another number of cores too; a warning says where another machine or library may round
        otherwise.
    exact : bool
        Whether a run that may not go on bit for bit is refused.
    identity : dict from name to text, optional
        Names of yours for parts of the model, the optimiser and the data, as ``{"optimizer.lr": "my
        schedule, version 2"}``. A resumed run is compared with the saved one in all that these
        parts hold (`ttref.identity`), unless they are named: then by the names only.
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
        If `out` holds a run and `resume` is False, or a damaged one, or one with other settings, or
        with `exact` one that may not go on bit for bit.
    DeviceError
        If `graph` is True where there is no GPU, or for a step that cannot be recorded.
    DivergenceError
        If a parameter is not finite before the first step, or a loss or gradient later; names the
        first layer whose output or gradient is not, although its input and parameters are.
    Interrupted
        On Ctrl-C or SIGTERM, after the current step; a `KeyboardInterrupt` with the history so far.
    """
    # Check everything before anything is written.
    check_count("epochs", epochs)
    flags = {"resume": resume, "exact": exact, "progress": progress, "graph": graph}
    _check_flags(flags, has_folder=out is not None)
    average = None if ema is None else EMA(ema)
    check_model(model, params, optimizer)
    samples, others = hold_out(data, validation, seed)
    checked = prepare_data(model, params, samples, loss, scale, class_weight)
    held_out = None if others is None else prepare_data(model, params, others, loss, scale)
    training = Training(
        model=model,
        data=checked,
        validation=held_out,
        optimizer=optimizer,
        batch_size=batch_size,
        loss=loss,
        scale=None if scale is None else float(scale),
        l2=l2,
        clip_norm=clip_norm,
        average=average,
        early_stopping=early_stopping,
        callbacks=Callbacks(on_step, on_epoch),
    )
    training.callbacks.check(graph)
    training.check(params)
    start = training.start(params, stream(seed, "shuffle and dropout"))
    folder = RunFolder(out, training, params, seed, identity)
    with folder.occupy(resume):
        state = folder.resume(start, exact) or start
        _train(training, state, epochs, folder, graph, progress)
    return make_history(training, state)


def _train(
    training: Training,
    state: TrainingState,
    epochs: int,
    folder: RunFolder,
    graph: bool,
    progress: bool,
) -> None:
    """Bring a new or a resumed run to its end, in its folder."""
    _check_not_beyond(epochs, state, folder)
    if state.epoch:
        folder.save_history(state)
    keep_freed_memory()
    one_by_one = Stepper(training, state.params)
    stepper = GraphStepper(one_by_one, state) if graph else one_by_one
    with folder.keep_basis():
        _train_epochs(stepper, state, epochs, folder, progress)


def _check_flags(flags: Mapping[str, bool], has_folder: bool) -> None:
    """Raise `ConventionError` unless all are True or False, and fit together."""
    for name, flag in flags.items():
        check_flag(name, flag)
    if flags["resume"] and not has_folder:
        raise ConventionError("resume is True, but no folder is given; say out=, where the run is")
    if flags["exact"] and not flags["resume"]:
        raise ConventionError("exact is True, but resume is not; exact is for runs that go on")


def _train_epochs(
    stepper: Stepper | GraphStepper,
    state: TrainingState,
    epochs: int,
    folder: RunFolder,
    progress: bool,
) -> None:
    """Bring `state` to the end, or to Ctrl-C, and save it after every epoch."""
    from tqdm import tqdm

    training = stepper.training
    steps = training.steps_per_epoch
    done = state.epoch * steps + state.step
    with (
        defer_interrupt() as interrupted,
        tqdm(total=epochs * steps, initial=done, unit="step", disable=not progress) as bar,
        ignore_overflow(),
        own_blas_threads(),
    ):
        while state.epoch < epochs and not (state.finished or state.stopping):
            bar.set_description(f"epoch {state.epoch + 1}/{epochs}")
            is_whole = train_epoch(stepper, state, bar, interrupted)
            if is_whole:
                finish_epoch(training, state)
            with interrupted.saving():
                folder.save(state)
            if is_whole:
                training.callbacks.after_epoch(state)
            if interrupted():
                saved = f"; {folder.checkpoint} can be resumed" if folder.checkpoint else ""
                raise Interrupted(
                    f"stopped after epoch {state.epoch}, step {state.step}{saved}",
                    make_history(training, state),
                    interrupted.received[0],
                )


def _check_not_beyond(epochs: int, state: TrainingState, folder: RunFolder) -> None:
    """Raise `CheckpointError` if the run has taken more steps than are asked for."""
    if state.epoch > epochs or (state.epoch == epochs and state.step):
        steps = f" and {state.step} steps" if state.step else ""
        raise CheckpointError(
            f"{folder.checkpoint} has {state.epoch} epochs{steps} already, more than the {epochs} "
            "asked for"
        )
