"""A layer in another process: a program that reads cases from files and writes results.

The program is told two paths, in the places of ``{case}`` and ``{result}`` in its command, or at
its end: a file to read and one to write (`ttref.oracle.files`). With ``{cases}`` and ``{results}``
they are folders, and one process answers all the cases in the first folder, in the order of their
names, with files of the same names in the second one. It is started again behind a case on which it
crashes or takes too long.

What the program prints does not matter. A status other than 0, or no result, is an error of that
case alone.
"""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

from ttref.checks import check_choice, check_positive
from ttref.contracts import Array
from ttref.errors import ConventionError, visible
from ttref.oracle.files import FORMATS_OF, read_results, write_case
from ttref.testing.cases.case import Params

CASE = ("{case}", "{result}")
CASES = ("{cases}", "{results}")
SECONDS = 60.0
LAST_WORDS = 200  # characters of what a program that fails has written to stderr
SHORTEST_PAUSE = 0.001  # seconds between two looks at a program
LONGEST_PAUSE = 0.05
MOST_READ = 2**16  # bytes of the end of stderr

Question: TypeAlias = tuple[Params, Array, Array]
"""``(params, x, dy)``"""


@dataclass(frozen=True)
class Program:
    """A command that computes a layer.

    Parameters
    ----------
    command : str
        Words as in a shell, but no shell runs it.
    file_format : str
        ``"npz"``, ``"json"`` or ``"mat"``.
    seconds : float
        How long it may take for one case.

    Raises
    ------
    ConventionError
        If an option is not what it should be, or there is no such program.
    """

    command: str
    file_format: str = "npz"
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        check_choice("format of the files", f".{self.file_format}", FORMATS_OF)
        check_positive("seconds", self.seconds)
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ConventionError(f"the command {visible(self.command)}: {error}") from None
        if not words:
            raise ConventionError("the command is empty, expected a program")
        places = [name for name in (*CASE, *CASES) if name in self.command]
        if places not in ([], list(CASE), list(CASES)):
            raise ConventionError(
                f"the command has the places {', '.join(places)}, expected {' and '.join(CASE)} of "
                f"files, {' and '.join(CASES)} of folders, or none"
            )

    @property
    def takes_folders(self) -> bool:
        """Whether one process answers many cases."""
        return CASES[0] in self.command

    def __call__(self, params: Params, x: Array, dy: Array) -> dict[str, Any]:
        """What the program makes of one case: ``{"y": ..., "cores": [...], "x": ...}``.

        Raises
        ------
        ConventionError
            If it fails, takes too long, or writes no result that can be read.
        """
        (found,) = self.answer_all([(params, x, dy)])
        if isinstance(found, ConventionError):
            raise found
        return found

    def answer_all(self, cases: Sequence[Question]) -> Generator[dict[str, Any] | ConventionError]:
        """What the program makes of each case, in their order, or why there is no result.

        Parameters
        ----------
        cases : sequence of (params, x, dy)
        """
        with tempfile.TemporaryDirectory(prefix="ttref-") as folder:
            asked = Asked(Path(folder), self.file_format, cases)
            if self.takes_folders:
                yield from self._answer_in_one_process(asked)
            else:
                yield from map(partial(self._answer_one, asked), range(len(cases)))

    def _answer_one(self, asked: "Asked", k: int) -> dict[str, Any] | ConventionError:
        """What a process of its own makes of case k."""
        try:
            with self._started(asked.case(k), asked.result(k)) as running:
                running.wait_for(asked.result(k), lambda: False, self.seconds)
                return running.read(asked, k)
        except ConventionError as error:
            return error

    def _answer_in_one_process(self, asked: "Asked") -> Iterator[dict[str, Any] | ConventionError]:
        """What one process makes of the cases; another one begins behind a case that ends it."""
        k = 0
        while k < asked.count:
            with self._started(asked.cases, asked.results) as running:
                is_alive = True
                while is_alive and k < asked.count:
                    found: dict[str, Any] | ConventionError
                    try:
                        # A result is whole when the next one is there, or the process has ended.
                        following = asked.result(k + 1)
                        running.wait_for(asked.result(k), following.exists, self.seconds)
                        found = running.read(asked, k)
                    except ConventionError as error:
                        found = error
                        is_alive = not running.failed
                    asked.case(k).unlink(missing_ok=True)  # the next process does not find it
                    k += 1
                    yield found

    @contextmanager
    def _started(self, source: Path, target: Path) -> Iterator["Running"]:
        """The running program, which is killed with all that it has started at the end."""
        words = [self._fill(word, source, target) for word in shlex.split(self.command)]
        if not any(name in self.command for name in (*CASE, *CASES)):
            words += [str(source), str(target)]
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                reason = f"{visible(words[0])} cannot be run: {error.strerror}"
                raise ConventionError(reason) from None
            try:
                yield Running(process, stderr)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _fill(self, word: str, source: Path, target: Path) -> str:
        """A word of the command, with paths in the places of its braces."""
        for names in (CASE, CASES):
            word = word.replace(names[0], str(source)).replace(names[1], str(target))
        return word


class Asked:
    """Cases in the files of a folder, and the places of their results.

    Parameters
    ----------
    folder : Path
        Empty.
    file_format : str
    cases : sequence of (params, x, dy)
    """

    def __init__(self, folder: Path, file_format: str, cases: Sequence[Question]) -> None:
        self.cases = folder / "cases"
        self.results = folder / "results"
        self.count = len(cases)
        self.file_format = file_format
        self._cases = cases
        self.cases.mkdir()
        self.results.mkdir()
        for k, case in enumerate(cases):
            write_case(self.case(k), *case)

    def case(self, k: int) -> Path:
        """The file of case k."""
        return self.cases / f"{k:06}.{self.file_format}"

    def result(self, k: int) -> Path:
        """The file of its result, which need not be there."""
        return self.results / self.case(k).name

    def read(self, k: int) -> dict[str, Any]:
        """The result of case k."""
        return read_results(self.result(k), *self._cases[k])


class Running:
    """A program that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", stderr: IO[bytes]) -> None:
        self.process = process
        self.stderr = stderr
        self.failed = False  # whether it crashed, or took too long

    def wait_for(self, result: Path, is_done: Callable[[], bool], seconds: float) -> None:
        """Wait until a result is done, or the program has ended.

        Raises
        ------
        ConventionError
            If there is no result after so many seconds.
        """
        deadline = time.monotonic() + seconds
        pause = SHORTEST_PAUSE
        while not is_done():
            try:
                self.process.wait(pause)
                return
            except subprocess.TimeoutExpired:
                pause = min(2 * pause, LONGEST_PAUSE)
            if time.monotonic() > deadline:
                if result.exists():  # the program is at work on the next one
                    return
                self.failed = True
                raise ConventionError(
                    f"the program took more than {seconds:g} seconds for one case"
                )

    def read(self, asked: Asked, k: int) -> dict[str, Any]:
        """The result of case k; raise `ConventionError` if the program gave none."""
        status = self.process.poll()
        if asked.result(k).exists() and not status:
            return asked.read(k)
        if status == 0:
            raise ConventionError("the program ended, and wrote no result")
        # A program that has crashed may have written the result before, or a part of it.
        try:
            return asked.read(k)
        except ConventionError:
            self.failed = True
            raise ConventionError(
                f"the program ended {_describe(status or 0)}{self._last_words()}"
            ) from None

    def _last_words(self) -> str:
        """The end of what the program has written to stderr, in the words of a message."""
        self.stderr.seek(max(0, self.stderr.seek(0, os.SEEK_END) - MOST_READ))
        words = " ".join(self.stderr.read().decode(errors="replace").split())[-LAST_WORDS:]
        return f"; its last words: {visible(words)}" if words else ""


def _describe(status: int) -> str:
    """How a program ended."""
    if status < 0:
        return f"by the signal {signal.Signals(-status).name}"
    return f"with status {status}"
