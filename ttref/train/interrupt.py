"""Ctrl-C and SIGTERM between two steps, never inside one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ttref.train.history import History

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C or SIGTERM after a whole step.

    Attributes
    ----------
    history : History
        The result so far.
    signum : int
        The number of the signal: 2 of Ctrl-C, 15 of SIGTERM.
    """

    def __init__(self, message: str, history: History, signum: int = int(signal.SIGINT)) -> None:
        super().__init__(message)
        self.history = history
        self.signum = signum


class Interruption:
    """What has been asked for by signals; the second one interrupts at once, but not a save."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.is_saving = False

    def __call__(self) -> bool:
        """Whether the run is to end after this step."""
        return bool(self.received)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.received.append(signum)
        if len(self.received) > 1 and not self.is_saving:
            raise KeyboardInterrupt

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Let no signal interrupt what is written inside."""
        self.is_saving = True
        try:
            yield
        finally:
            self.is_saving = False


@contextmanager
def defer_interrupt() -> Iterator[Interruption]:
    """Give what tells whether Ctrl-C was pressed or SIGTERM came.

    A signal that the process ignores stays ignored. Outside the main thread, where Python delivers
    no signals, the answer is always no.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {
        signum: signal.signal(signum, interruption.receive)
        for signum in SIGNALS
        if signal.getsignal(signum) not in (signal.SIG_IGN, None)
    }
    try:
        yield interruption
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
