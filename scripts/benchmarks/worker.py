"""The process of one system: answers requests, a line of JSON each, and sleeps in between.

``python -m benchmarks.worker THREADS DEVICE`` is bound to so many cores before it imports anything.
"""

import gc
import json
import os
import sys
import time
import tracemalloc
from importlib.metadata import packages_distributions, version
from pathlib import Path
from runpy import run_path

PROCESS = Path(__file__).resolve().parents[2] / "ttref" / "machine" / "process.py"
PACKAGES = ("numpy", "torch", "tltorch", "torchtt", "jax", "tensorflow", "t3f", "cupy")


class Worker:
    """Requests are its public methods; a problem stays set up until the next `prepare`."""

    def __init__(self, device):
        self.device, self.run = device, None

    def check(self, workload, case, system, path):
        """Write the results on the inputs of the check to a file."""
        import numpy as np

        self._build(workload, case, system, exact=True)
        np.savez(path, **self.run.results())

    def prepare(self, workload, case, system, seconds):
        """Set up for timing, warm up for some time, and return the seconds of one call."""
        self._build(workload, case, system, exact=False)
        times, end = [], time.perf_counter() + seconds
        while len(times) < 2 or time.perf_counter() < end:
            times.append(self.time(1))
        return min(times[1:]) * self.run.steps

    def time(self, calls):
        """Seconds per step, over so many calls, after one that refills caches and memory."""
        step, _, wait, steps = self.run
        step()
        wait()
        start = time.perf_counter()
        for _ in range(calls):
            step()
        wait()
        return (time.perf_counter() - start) / (calls * steps)

    def memory(self):
        """Peak bytes that one step allocates, by tracemalloc: arrays, not the buffers of BLAS."""
        tracemalloc.start()
        self.run.step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def peaks(self, moved):
        """Operations per second of a large matrix product; bytes per second of a copy.

        The copy reads and writes `moved` bytes in all, as many as the workload at least.
        """
        from benchmarks.fc_systems import array_module, waiting

        xp = array_module(self.device)
        a = xp.ones((4096, 4096) if self.device == "gpu" else (1024, 1024), "float32")
        source = xp.ones(max(1, int(moved) // 2), "uint8")
        target = xp.empty_like(source)
        product = best_of(3, lambda: xp.matmul(a, a), waiting(xp))
        copy = best_of(5, lambda: xp.copyto(target, source), waiting(xp))
        return 2 * len(a) ** 3 / product, moved / copy

    def versions(self):
        """``{distribution: version}`` of what is loaded."""
        found = packages_distributions()
        names = [found[name][0] for name in PACKAGES if name in sys.modules]
        return {name: version(name).partition("+")[0] for name in names}

    def _build(self, workload, case, system, exact):
        from benchmarks.workload import all_workloads

        self.run = None
        gc.collect()
        found = all_workloads()[workload]
        problem = found.problem(case, exact)
        self.run = found.systems[system].build(case, problem, self.device)


def best_of(times, function, wait):
    """Least seconds of a call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        wait()
        found.append(time.perf_counter() - start)
    return min(found)


def serve(worker, requests, answer):
    """Answer each line ``[method, arguments]`` with ``{"value"}`` or ``{"error"}``."""
    for line in requests:
        name, arguments = json.loads(line)
        try:
            reply = {"value": getattr(worker, name)(**arguments)}
        except Exception as error:  # whatever a peer raises goes on the page
            reply = {"error": f"{type(error).__name__}: {str(error).strip()}".splitlines()[-1]}
        answer(json.dumps(reply))


def main():
    """Serve standard input; what peers print goes to standard error."""
    threads, device = int(sys.argv[1]), sys.argv[2]
    if device == "cpu":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run_path(str(PROCESS))["keep_freed_memory"]()  # every system, as ttref does for itself
    serve(Worker(device), sys.stdin, lambda line: print(line, file=replies, flush=True))


if __name__ == "__main__":
    main()
