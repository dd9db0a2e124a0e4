"""Run cases: check every system, then time them in turns, each in a process of its own."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
SLOW_KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # where set, they select slower ones
TURN = 0.03  # seconds that a system works before the next has its turn, or one step
REST = 0.03  # seconds after it, in which its idle threads stop spinning
LONGEST = 6.0  # seconds of turns after which a system has had enough
FEWEST = 3  # turns of the slowest system
PATIENCE = 120  # seconds for an answer


class PeerError(Exception):
    """Why a system has no time, in one line."""


class Process:
    """A worker and its pipe."""

    def __init__(self, env, threads, device):
        python = ROOT / ".peers" / env / "bin" / "python"
        if not python.exists():
            raise PeerError(f"scripts/peer_env {env} has not been run")
        variables = {k: v for k, v in os.environ.items() if k not in SLOW_KERNELS}
        variables |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        variables["PYTHONPATH"] = str(ROOT / "scripts")
        variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several systems share a GPU
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", str(threads), device],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the driver
            text=True,
        )

    def ask(self, name, **arguments):
        """The value that the worker's method returns."""
        try:
            print(json.dumps([name, arguments]), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise PeerError("its process is gone") from None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.close()
            raise PeerError(f"no answer in {PATIENCE} s")
        reply = json.loads(self.process.stdout.readline() or '{"error": "its process died"}')
        if "error" in reply:
            raise PeerError(reply["error"])
        return reply["value"]

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.wait()


class Pool:
    """The processes of all systems, with one number of threads; a context manager."""

    def __init__(self, threads, device):
        self.threads, self.device, self.processes = threads, device, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.close()

    def get(self, name, env):
        """The system's process, started when first asked for and again after its death."""
        env = "bench-gpu" if self.device == "gpu" else env
        found = self.processes.get(name)
        if found is None or found.process.poll() is not None:
            self.processes[name] = Process(env, self.threads, self.device)
        return self.processes[name]


def contestants(workload, device):
    """The systems that run on the device."""
    return {name: s for name, s in workload.systems.items() if device in s.devices}


def run_case(workload, case, pool, rounds):
    """Check and time a case: what the page needs to know about it, in JSON types.

    Raises
    ------
    SystemExit
        If one of our own systems gives a wrong result.
    """
    systems = contestants(workload, pool.device)
    seconds, left_out, ready = {}, {}, {}
    truth = workload.truth(case, workload.problem(case, True)) if workload.truth else None
    for name, system in systems.items():
        try:
            ready[name] = prepare(workload, case, name, pool, truth)
        except PeerError as error:
            if system.role == "ours":
                raise SystemExit(f"{workload.name}, {case}: {name}: {error}") from None
            left_out[name] = str(error)
    work = workload.work(case) if workload.work else None
    peaks = take_turns(ready, rounds, work, seconds)
    result = {"left_out": left_out, "threads": pool.threads, "device": pool.device}
    result["systems"] = {name: summary(times) for name, times in seconds.items()}
    result["versions"] = {}
    for process, _ in ready.values():
        result["versions"] |= process.ask("versions")
    if peaks:
        flops, moved = work
        rate, bandwidth = (max(column) for column in zip(*peaks, strict=True))
        result |= {"peak": rate, "bandwidth": bandwidth}
        result["bound"] = max(flops / rate, moved / bandwidth)
    if workload.memory:
        result["memory"] = ready["ttref"][0].ask("memory")
    return result


def prepare(workload, case, name, pool, truth):
    """``(process, calls in a turn)`` of a system whose results are right."""
    system = workload.systems[name]
    reason = system.refuse(case)
    if reason:
        raise PeerError(reason)
    process = pool.get(name, system.env)
    task = {"workload": workload.name, "case": case, "system": name}
    if truth is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/results.npz"
            process.ask("check", **task, path=path)
            with np.load(path) as found:
                wrong = differing(truth, found, workload.tolerance, system.partial)
        if wrong:
            raise PeerError(f"its {', '.join(wrong)} differ from ttref's")
    estimate = process.ask("prepare", **task, seconds=0.1)
    return process, max(1, round(TURN / estimate))


def differing(truth, found, tolerance=None, partial=False):
    """Names of the results that are missing or wrong."""
    if not partial and set(truth) != set(found):
        return sorted(set(truth) ^ set(found))
    return [name for name in found if not agree(truth[name], found[name], tolerance)]


def agree(truth, found, tolerance):
    """Whether two arrays are equal, or their difference is small in norm."""
    if truth.shape != found.shape:
        return False
    if tolerance is None:
        return np.array_equal(truth, found)
    return np.linalg.norm(found - truth) <= tolerance * np.linalg.norm(truth)


def take_turns(ready, rounds, work, seconds):
    """Fill ``{system: [seconds per step]}``; the processor's peaks, taken in turn with them."""
    peaks, order, spent = [], list(ready), dict.fromkeys(ready, 0.0)
    for _ in range(rounds):
        for name in order:
            process, calls = ready[name]
            times = seconds.setdefault(name, [])
            if len(times) >= FEWEST and spent[name] > LONGEST:
                continue
            start = time.perf_counter()
            times.append(process.ask("time", calls=calls))
            spent[name] += time.perf_counter() - start
            time.sleep(REST)
        if work and "ttref" in ready:
            peaks.append(ready["ttref"][0].ask("peaks", moved=work[1]))
            time.sleep(REST)
        order.reverse()
    return peaks


def summary(times):
    """Least, median and number."""
    return {"min": min(times), "median": median(times), "blocks": len(times)}


def interpreter():
    """Version of the Python that drives."""
    return sys.version.partition(" ")[0]
