"""Time ttref beside every peer, and write docs/benchmarks.md from docs/benchmarks.json.

A run replaces only the rows that it measures; Ctrl-C keeps what is measured.
"""

import argparse
import os
import sys

from tqdm import tqdm

from benchmarks.driver import Pool, run_case
from benchmarks.page import add_result, load_record, write_page
from benchmarks.workload import all_workloads


def main(arguments=None):
    """Measure what was asked for, then write the page; returns the exit status."""
    workloads = all_workloads()
    options = parse(arguments, workloads)
    try:
        for threads in [] if options.page else counts(options):
            chosen = tasks(workloads, options, threads)
            with Pool(threads, options.device) as pool, tqdm(chosen, unit="case") as bar:
                for workload, label, case in bar:
                    bar.set_description(f"{workload.name}, {label}, {where(options, threads)}")
                    result = run_case(workload, case, pool, options.rounds)
                    add_result(workload.name, label, where(options, threads), result)
    except KeyboardInterrupt:
        print("stopped: what is measured is kept", file=sys.stderr)
        return 130
    finally:
        write_page(load_record(), workloads)
    return 0


def parse(arguments, workloads):
    """Options, or exit status 2 with a sentence."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", action="append", help=f"workload: {', '.join(workloads)}")
    parser.add_argument("--case", default="", help="cases whose label has this in it")
    parser.add_argument("--threads", type=int, choices=(1, 2), help="cores (both, one by one)")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each system (15)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--page", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args(arguments)
    for name in options.only or ():
        if name not in workloads:
            parser.error(f"no workload is called {name}; there are {', '.join(workloads)}")
    if options.rounds < 1:
        parser.error(f"rounds is {options.rounds}, expected at least 1")
    cores = len(os.sched_getaffinity(0))
    if options.threads and options.threads > cores:
        parser.error(f"{options.threads} threads need as many cores, here are {cores}")
    return options


def counts(options):
    """Numbers of threads; on a GPU, those of its host."""
    cores = len(os.sched_getaffinity(0))
    if options.device == "gpu":
        return [cores]
    return [options.threads] if options.threads else [n for n in (1, 2) if n <= cores]


def where(options, threads):
    """Name of the place: number of cores, or gpu."""
    return "gpu" if options.device == "gpu" else str(threads)


def tasks(workloads, options, threads):
    """``(workload, label, case)`` of all cases to run."""
    gpu = options.device == "gpu"
    return [
        (workload, label, case)
        for workload in workloads.values()
        if workload.name in (options.only or workloads)
        if (workload.runs_on_gpu if gpu else threads in workload.threads)
        for label, case in workload.all_cases(gpu).items()
        if options.case in label
    ]


if __name__ == "__main__":
    sys.exit(main())
