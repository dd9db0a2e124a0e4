"""Ctrl-C between two steps, never inside one."""

import signal
import threading
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C after a whole step; `history` holds all there is so far."""

    def __init__(self, message, history):
        super().__init__(message)
        self.history = history


@contextmanager
def deferred_interrupt():
    """Give a function that tells whether Ctrl-C was pressed; the second press interrupts at once.

    Outside the main thread, where Python delivers no signals, the answer is always no.
    """
    pressed = threading.Event()

    def on_signal(signum, frame):
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
