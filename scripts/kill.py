"""Kill training runs at random places, resume them, and compare the bits with runs that went on.

For each network and signal, a child process trains in a folder. It gets the signal at a line of
ttref's training, layers and storage, drawn at random: inside of a save too. Then it is run again in
the same folder, until the run is whole. Weights, optimiser and history must have the bits of a run
that was never stopped, and nothing may be left in the folder but its files.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "reliability.json"
SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL", "SIGSEGV")
NETWORKS = ("tt", "gru", "conv", "dense")
FILES = {"checkpoint.npz", "history.jsonl", "machine.json"}
MOST_TRIES = 50  # resumes of one run
MOST_UNHURT = 20  # runs, one after the other, that no signal has ended
LONGEST = 120  # seconds of a child

CHILD = """
import hashlib, json, os, random, signal, sys
import numpy as np
from ttref import layers, storage, train
from ttref.optim import Adam

name, folder, signum, line = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its jobs ignore it
rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 24)
NETWORKS = {
    "tt": ([layers.TTDense([2, 3], [3, 2], 2, activation="tanh"), layers.Dense(6, 3)], (6,)),
    "gru": ([layers.TTGRU([2, 3], [2, 2], 2, dropout=0.2), layers.Dense(4, 3)], (4, 6)),
    "conv": ([layers.Conv2d(3, 2, 2), layers.BatchNorm(2), layers.Flatten(), layers.Dense(32, 3)],
             (4, 4, 2)),
    "dense": ([layers.Dense(6, 5, activation="relu"), layers.Dropout(0.3), layers.Dense(5, 3)],
              (6,)),
}
found, shape = NETWORKS[name]
net = layers.Sequential(found)
x = rng.standard_normal((24, *shape)).astype("float32")

lines = 0
inside = tuple(os.path.join("ttref", part) for part in ("train", "storage", "layers", "optim"))

def is_saving(frame):
    return frame is not None and (frame.f_code.co_name == "save" or is_saving(frame.f_back))

def count(frame, event, argument):
    global lines
    if event == "line":
        lines += 1
        if lines == line:
            sys.settrace(None)
            print("within a save" if is_saving(frame) else "elsewhere", flush=True)
            signal.raise_signal(signum)
    return count

def begin(frame, event, argument):
    return count if any(part in frame.f_code.co_filename for part in inside) else None

if line:
    sys.settrace(begin)
history = train.fit(net, net.init(0), (x, labels), Adam(1e-2), 3, batch_size=8, out=folder,
                    resume=True, progress=False, ema=0.9)
sys.settrace(None)
run = storage.load(os.path.join(folder, "checkpoint.npz"))["run"]

def bits(tree):
    if isinstance(tree, dict):
        return [bits(v) for k, v in tree.items() if k != "seconds"]
    if isinstance(tree, tuple):
        return [bits(v) for v in tree]
    return tree.tobytes().hex() if hasattr(tree, "tobytes") else repr(tree)

print(json.dumps([hashlib.sha256(json.dumps(bits(run)).encode()).hexdigest(), lines]))
"""


def main(arguments=None):
    """Kill runs, print what came of it, and record it; the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each network and signal (50)")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="all by default")
    parser.add_argument("--signal", action="append", choices=SIGNALS, help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="keep the counts in the docs")
    options = parser.parse_args(arguments)
    if options.kills < 1:
        parser.error(f"--kills is {options.kills}, expected 1 or more")
    draws = random.Random(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for network in options.network or NETWORKS:
            whole = Run(network, Path(scratch) / "whole")
            expected, lines = whole.finish()
            shutil.rmtree(whole.folder)
            for name in options.signal or SIGNALS:
                task = Task(network, name, expected, lines, Path(scratch) / "run")
                rows.append(kill_many(task, options.kills, draws))
                print(json.dumps(rows[-1]), flush=True)
    if options.record:
        record(rows, options)
    wrong = sum(row["other bits"] + row["left over"] + row["not resumed"] for row in rows)
    print(f"{sum(row['kills'] for row in rows)} kills, {wrong} wrong")
    return 1 if wrong else 0


class Run:
    """A run of training in a folder."""

    def __init__(self, network, folder):
        self.network = network
        self.folder = folder

    def start(self, signum=0, line=0):
        """Run the child, which gets a signal at a line if there is one."""
        command = [sys.executable, "-c", CHILD, self.network, self.folder, str(signum), str(line)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False
        )

    def finish(self):
        """Run to the end without a signal, counting lines: the checksum, and how many there are."""
        found = self.start(0, 10**9)
        if found.returncode:
            raise SystemExit(f"scripts/kill: {self.network} does not train:\n{found.stderr}")
        return json.loads(found.stdout)


class Task:
    """What is killed, by what, and what must come of it."""

    def __init__(self, network, name, expected, lines, folder):
        self.network, self.name = network, name
        self.signum = getattr(signal, name)
        self.expected, self.lines = expected, lines
        self.run = Run(network, folder)


def kill_many(task, kills, draws):
    """Kill so many times, over as many runs as that takes, and count what came of it."""
    counts = Counter({"other bits": 0, "left over": 0, "not resumed": 0})
    saves = 0
    done = 0
    unhurt = 0
    with tqdm(total=kills, desc=f"{task.network} {task.name}", unit="kill") as bar:
        while done < kills:
            shutil.rmtree(task.run.folder, ignore_errors=True)
            before = done
            for _ in range(MOST_TRIES):
                found = task.run.start(task.signum, draws.randrange(1, task.lines))
                if found.returncode == 0:
                    break
                done += 1
                bar.update()
                saves += found.stdout.startswith("within a save")
            judge(task, counts)
            unhurt = unhurt + 1 if done == before else 0
            if unhurt == MOST_UNHURT:
                raise SystemExit(f"scripts/kill: {task.name} ends no run of {task.network}")
    row = {"network": task.network, "signal": task.name, "kills": done}
    return row | {"within a save": saves, **counts}


def judge(task, counts):
    """Finish the run without a signal, and compare."""
    found = task.run.start()
    if found.returncode:
        counts["not resumed"] += 1
        print(found.stderr, file=sys.stderr)
        return
    checksum, _ = json.loads(found.stdout)
    counts["other bits"] += checksum != task.expected
    counts["left over"] += {path.name for path in task.run.folder.iterdir()} != FILES


def record(rows, options):
    """Keep the rows in the file of the docs."""
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    known["kill"] = {"seed": options.seed, "rows": rows}
    RECORD.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
