"""An experiment: what it shows, on which data, with which options, and how it is run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ttref.experiments.options import Options
from ttref.experiments.results import Row
from ttref.experiments.trial import Trial

O = TypeVar("O", bound=Options)  # noqa: E741


@dataclass(frozen=True)
class Spec(Generic[O]):
    """One experiment.

    Parameters
    ----------
    name : str
        As on the command line.
    description : str
        What it shows, in one line.
    data : str
        Which data set it reads, and where that comes from.
    options : subclass of Options
        Its options.
    train_stages : callable
        From a `Trial` and its options: it trains the stages and records the rows.
    several_stages : bool
        Whether a later stage builds on the earlier ones. Then the run cannot be resumed for more
        epochs, because they would change the start of the later stage.
    """

    name: str
    description: str
    data: str
    options: type[O]
    train_stages: Callable[[Trial, O], None]
    several_stages: bool = False

    def run(self, options: O) -> list[Row]:
        """Run the experiment, write its results and return their rows.

        Raises
        ------
        CheckpointError
            If the folder has a run that is not resumed, or that is another one.
        DataError
            If its data are missing or damaged.
        DivergenceError
            If a loss or a parameter is not finite.
        """
        trial = Trial(self.name, options, self.several_stages)
        self.train_stages(trial, options)
        return trial.finish()
