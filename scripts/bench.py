"""Time a training step and some exact checks, and write docs/benchmarks.md.

A step is forward, backward with the gradients of all parameters, and Adam, of the t3f network at
batch 64, float32, by ttref and torch in turn: timed over blocks of steps, interleaved, in a process
bound to 1 and to 2 cores with as many BLAS threads. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which
select slower kernels where they are set, are removed. Before anything is timed, torch's loss and
gradients are compared with ours.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PAGE = Path("docs/benchmarks.md")
BATCH, BLOCK, REPEATS = 64, 20, 10
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
NETWORKS = {
    "TT rank 4": {"ranks": 4},
    "TT rank 16": {"ranks": 16},
    "dense": {"ranks": None},
}

TEXT = """# Benchmarks

## A training step of the t3f network

Made by `scripts/bench`. Network 784 -> 625 relu -> 10 (TT modes [7, 4, 7, 4] -> [5, 5, 5, 5]),
batch 64, float32: forward, cross-entropy, backward with the gradients of all parameters, Adam.
Microseconds per sample, minimum / median over {rounds} blocks of {block} steps. The systems take
turns in one process, bound to as many cores as it has BLAS threads, with OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE unset. `fit` is ttref's whole training loop: shuffled batches, running loss and
accuracy as well. torch: the same network with autograd and torch.optim.Adam; its TT layer contracts
one core after the other, as t3f does. Losses and gradients of both were compared before.

{table}

{where}.

The ratio is torch's time over ttref's step, by medians: above 1, ttref is faster. On this shared
machine times vary by a third from hour to hour; the ratio varies less.

## Exact checks

One core, minimum / median of {repeats}.

{checks}
"""


def main():
    """Measure in processes of their own, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="timed blocks of each system (40)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options.rounds)))
        return
    cores = sorted(os.sched_getaffinity(0))
    results = {n: start_worker(n, options.rounds) for n in (1, 2) if n <= len(cores)}
    checks = check_table(results[1]["checks"])
    where = f"{cpu_name()}; Python {platform.python_version()}, {results[1]['versions']}"
    text = TEXT.format(
        rounds=options.rounds,
        block=BLOCK,
        table=table(results),
        where=where,
        repeats=REPEATS,
        checks=checks,
    )
    PAGE.write_text(text)
    print(text)


def start_worker(threads, rounds):
    """Measurements with that many threads, each network's systems interleaved."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = [sys.executable, __file__, "--worker", str(threads), "--rounds", str(rounds)]
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(found.stdout)


def measure(threads, rounds):
    """Seconds per step of each system on each network: ``{network: {system: [seconds]}}``."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import numpy as np

    from ttref.train.memory import keep_freed_memory

    keep_freed_memory()
    versions, times = f"NumPy {np.__version__}", {}
    rng = np.random.default_rng(0)
    x = rng.random((100 * BATCH, 784), dtype="float32") * 2 - 1
    labels = rng.integers(0, 10, len(x))
    try:
        import torch

        torch.set_num_threads(threads)
        versions += f", torch {torch.__version__.partition('+')[0]}"
    except ImportError:
        torch = None
    for name, network in NETWORKS.items():
        systems = {"step": ttref_step(x, labels, **network), "fit": ttref_fit(x, labels, **network)}
        if torch:
            systems["torch"] = torch_step(torch, x, labels, **network)
        for run in systems.values():
            run(BLOCK)
        times[name] = {system: [] for system in systems}
        for _ in range(rounds):
            for system, run in systems.items():
                times[name][system].append(run(BLOCK))
    checks = measure_checks() if threads == 1 else {}
    return {"versions": versions, "times": times, "checks": checks}


def measure_checks():
    """Seconds of each check: ``{name: [seconds]}``."""
    import numpy as np

    from ttref import ops, tree
    from ttref.numbers import rational
    from ttref.oracle import Adapter, judge, truth
    from ttref.oracle.judge import make_case

    def gradients(params, x, dy):
        dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
        return {**dparams, "x": dx}

    rng = np.random.default_rng(0)
    adapter = Adapter(lambda params, x: ops.tt_linear.forward(params, x)[0], gradients)

    def lattice_cases():
        for _ in range(100):
            case = truth.on_lattice(make_case(rng, adapter), rng, "float32")
            judge(case, adapter.results(case, "float32"), "float32")

    def rationals(modes, batch):
        ranks = (1, *[4] * (len(modes) - 1), 1)
        shapes = zip(ranks[:-1], modes, modes, ranks[1:], strict=True)
        cores = tuple(rng.standard_normal(shape, dtype="float32") for shape in shapes)
        x, dy = rng.standard_normal((2, batch, 1024), dtype="float32")

        def check():
            params = {"cores": tree.map(rational.lift, cores)}
            _, cache = ops.tt_linear.forward(params, rational.lift(x))
            ops.tt_linear.backward(rational.lift(dy), cache)

        return check

    def repeated(check, times=1):
        return [timed(check)(1) / times for _ in range(REPEATS)]

    return {
        "a lattice case of the oracle, shapes as in `ttref oracle`": repeated(lattice_cases, 100),
        **{
            "TT 1024 x 1024, rank 4, forward and backward on rationals, "
            f"modes {list(modes)}, batch {batch}": repeated(rationals(modes, batch))
            for modes, batch in (((32, 32), 4), ((4, 8, 8, 4), 1), ((4, 8, 8, 4), 4))
        },
    }


def check_table(checks):
    """Milliseconds of each check."""
    lines = ["| check | ms |", "|---|---|"]
    for name, seconds in checks.items():
        lines.append(f"| {name} | {min(seconds) * 1e3:.2f} / {median(seconds) * 1e3:.2f} |")
    return "\n".join(lines)


def network_of(ranks):
    """The t3f network; its dense twin where `ranks` is None."""
    from ttref import Dense, Sequential, TTDense

    first = (
        Dense(784, 625, activation="relu")
        if ranks is None
        else TTDense([7, 4, 7, 4], [5, 5, 5, 5], ranks, activation="relu")
    )
    return Sequential([first, Dense(625, 10)])


def batches(x, labels):
    """Consecutive batches for ever."""
    while True:
        for start in range(0, len(x), BATCH):
            yield x[start : start + BATCH], labels[start : start + BATCH]


def timed(step):
    """A function that runs `count` steps and returns the seconds per step."""

    def run(count):
        start = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - start) / count

    return run


def ttref_step(x, labels, ranks):
    """Forward, backward, Adam in ttref."""
    from ttref.ops import softmax_cross_entropy
    from ttref.optim import Adam

    net, optimizer, source = network_of(ranks), Adam(1e-3), batches(x, labels)
    params = net.init(0)
    state = optimizer.init(params)

    def step():
        nonlocal params, state
        batch, target = next(source)
        logits, cache = net.forward(params, batch, train=True)
        _, loss_cache = softmax_cross_entropy.forward(logits, target)
        dlogits = softmax_cross_entropy.backward(1, loss_cache)
        grads, _ = net.backward(dlogits, cache, input_gradient=False)
        params, state = optimizer.step(params, grads, state)

    return timed(step)


def ttref_fit(x, labels, ranks):
    """The training loop, for one epoch of as many batches as there are steps."""
    from ttref import fit
    from ttref.optim import Adam

    net = network_of(ranks)
    params = net.init(0)

    def run(count):
        data = x[: count * BATCH], labels[: count * BATCH]
        history = fit(net, params, data, Adam(1e-3), 1, batch_size=BATCH, progress=False)
        return history.rows[0]["seconds"] / count

    return run


def torch_step(torch, x, labels, ranks):
    """The same in torch, after a comparison of loss and gradients with ttref's."""
    from ttref import tree

    start = network_of(ranks).init(0)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in tree.flatten(start).items()}
    cores = [leaf for name, leaf in leaves.items() if name.startswith("0.cores")]

    def hidden(batch):
        if not cores:
            return batch @ leaves["0.kernel"]
        modes = [core.shape[1] for core in cores]
        state = batch.reshape(len(batch), 1, *modes)
        for core in cores:  # sum over (bond, mode); the new bond comes to the front
            state = torch.tensordot(state, core, dims=([1, 2], [0, 1])).movedim(-1, 1)
        return state.reshape(len(batch), 625)

    def loss_of(batch, target):
        activations = torch.relu(hidden(batch) + leaves["0.bias"])
        logits = activations @ leaves["1.kernel"] + leaves["1.bias"]
        return torch.nn.functional.cross_entropy(logits, target)

    source = batches(torch.tensor(x), torch.tensor(labels))
    batch, target = next(source)
    loss = loss_of(batch, target)
    loss.backward()
    compare(start, ranks, batch.numpy(), target.numpy(), loss.item(), leaves)
    optimizer = torch.optim.Adam(leaves.values(), 1e-3)

    def step():
        batch, target = next(source)
        optimizer.zero_grad()
        loss_of(batch, target).backward()
        optimizer.step()

    return timed(step)


def compare(params, ranks, x, labels, loss, leaves):
    """Raise unless torch's loss and gradients are ttref's, to float32 sums of some 784 terms."""
    import numpy as np

    from ttref import losses, tree

    net, tolerance = network_of(ranks), 784 * 2.0**-24
    logits, cache = net.forward(params, x)
    ours, dlogits = losses.softmax_cross_entropy(logits, labels)
    grads = tree.flatten(net.backward(dlogits, cache)[0])
    wrong = [] if abs(ours - loss) <= tolerance * ours else ["loss"]
    for name, leaf in leaves.items():
        difference = np.linalg.norm(leaf.grad.numpy() - grads[name])
        wrong += [name] if difference > tolerance * np.linalg.norm(grads[name]) else []
    if wrong:
        raise SystemExit(f"torch and ttref differ in {', '.join(wrong)}")


def table(results):
    """Networks and threads down, systems across; the ratio is of medians."""
    lines = [
        "| network | cores | ttref step | ttref `fit` | torch | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for threads, result in results.items():
        for network, times in result["times"].items():
            micro = {system: [t / BATCH * 1e6 for t in v] for system, v in times.items()}
            cells = [f"{min(v):.1f} / {median(v):.1f}" for v in micro.values()]
            if "torch" in micro:
                cells.append(f"{median(micro['torch']) / median(micro['step']):.2f}")
            else:
                cells += ["-", "-"]
            lines.append(f"| {network} | {threads} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cpu_name():
    """The processor's name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
