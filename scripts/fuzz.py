"""Read damaged and hostile files by every loader, and count what comes of it.

Valid files are changed at random: bytes, sizes, nesting, values of a structure whose checksum is
made right again. Each is read in a child process with limits of memory and time. Allowed are the
right values, and one of ttref's errors. Where the format has a checksum, a change of bytes must not
be read as other values; where it has none, such files are counted. Files that a loader fails on are
kept, and --replay reads one again.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from fuzz_loaders import LOADERS
from tqdm import tqdm

from ttref.errors import TTRefError

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "reliability.json"
KEPT = ROOT / "runs" / "fuzz"
SECONDS = 5  # for one file
MEMORY = 2**30  # bytes more than the process has
CHUNK = 250  # files of one child
OUTCOMES = ("right", "refused", "other values", "silent change", "uncaught", "hang", "death")
BAD = ("silent change", "uncaught", "hang", "death")


def main(arguments=None):
    """Fuzz, print the counts, and record them; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("loader", nargs="*", metavar="LOADER", help=f"of {', '.join(LOADERS)}")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each loader (1)")
    parser.add_argument(
        "--files", type=int, help="of each loader and strategy, in place of minutes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="read a file that was kept")
    parser.add_argument("--record", action="store_true", help="keep the counts in the docs")
    options = parser.parse_args(arguments)
    for name in options.loader:
        if name not in LOADERS:
            parser.error(f"no loader is called {name}; there are {', '.join(LOADERS)}")
    if options.replay is not None:
        return replay(options.replay)
    rows = []
    try:
        for name in options.loader or LOADERS:
            loader = LOADERS[name]()
            for strategy in loader.strategies:
                minutes = options.minutes / len(loader.strategies)
                rows.append(fuzz(name, strategy, options.seed, minutes, options.files))
                print(json.dumps(rows[-1]), flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if options.record:
        known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        known["fuzz"] = {"seed": options.seed, "rows": rows}
        RECORD.write_text(json.dumps(known, indent=1) + "\n")
    wrong = sum(row[name] for row in rows for name in BAD)
    print(f"{sum(row['files'] for row in rows)} files, {wrong} failures")
    return 1 if wrong else 0


def fuzz(name, strategy, seed, minutes, files=None):
    """Change and read files by one strategy of a loader, for some minutes; the counts."""
    counts = Counter()
    peak = 0
    end = time.monotonic() + 60 * minutes
    k = 0
    with tqdm(desc=f"{name}, {strategy}", unit="file", total=files) as bar:
        while k < files if files else time.monotonic() < end:
            stop = k + CHUNK if files is None else min(files, k + CHUNK)
            child = Child(name, strategy, seed, k, stop)
            for outcome in child.outcomes():
                if outcome in BAD:
                    keep(name, strategy, seed, k)
                counts[outcome] += 1
                k += 1
                bar.update()
            peak = max(peak, child.peak)
    row = {"loader": name, "strategy": strategy, "files": k}
    return row | {o: counts[o] for o in OUTCOMES} | {"most MB": round(peak / 2**20)}


class Child:
    """A process that changes and reads files k, k + 1, ... of a strategy.

    `peak` is how many bytes it has had more than before the first file.
    """

    def __init__(self, name, strategy, seed, start, stop):
        self.arguments = name, strategy, seed, start, stop
        self.peak = 0

    def outcomes(self):
        """Yield what came of each file; after a hang or a death, the last one."""
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            work(os.fdopen(writer, "w"), *self.arguments)
        os.close(writer)
        with os.fdopen(reader) as lines:
            count = 0
            for line in lines:
                word = line.strip()
                if word.isdigit():
                    self.peak = int(word)
                    continue
                count += 1
                yield word
        _, status = os.waitpid(process, 0)
        shutil.rmtree(folder_of(process), ignore_errors=True)  # of one that died
        if os.WIFSIGNALED(status):
            yield "hang" if os.WTERMSIG(status) == signal.SIGALRM else "death"


def folder_of(process):
    """Where a child writes its file."""
    return Path(f"/tmp/ttref-fuzz-{process}")


def work(answers, name, strategy, seed, start, stop):
    """In the child: read the files, and write a line for each. Does not return."""
    try:
        warnings.simplefilter("ignore")
        loader = LOADERS[name]()
        path = folder_of(os.getpid()) / loader.name
        path.parent.mkdir()
        path.write_bytes(loader.content)
        expected = loader.load(path)
        before = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
        is_summed = loader.is_summed and strategy == "bytes"
        for k in range(start, stop):
            path.write_bytes(changed(loader, strategy, seed, k))
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            outcome = read(loader, path, expected, is_summed)
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(outcome, file=answers, flush=True)
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(max(0, peak), file=answers, flush=True)
        path.unlink()
        path.parent.rmdir()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os.kill(os.getpid(), signal.SIGKILL)


def changed(loader, strategy, seed, k):
    """The file of that number."""
    return loader.strategies[strategy](random.Random(f"{strategy} {seed} {k}"))


def read(loader, path, expected, is_summed):
    """What comes of reading a file."""
    try:
        found = loader.load(path)
    except TTRefError as error:
        return "refused" if "\n" not in str(error) else "uncaught"
    except Exception:
        return "uncaught"
    if found == expected:
        return "right"
    return "silent change" if is_summed else "other values"


def keep(name, strategy, seed, k):
    """Write the file that a loader failed on."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}~{strategy}~{seed}~{k}"
    path.write_bytes(changed(LOADERS[name](), strategy, seed, k))
    print(f"kept: {path}", file=sys.stderr)


def replay(path):
    """Read a file that was kept, in this process."""
    loader = LOADERS[path.name.partition("~")[0]]()
    print(loader.load(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
