"""The benchmark against every peer: `scripts/bench`.

A file in `workloads/` is a group of workloads: its ``WORKLOADS`` lists `workload.Workload` objects,
each with its cases, its systems and the true results. `driver` keeps a worker process per system
and lets them take turns, `worker` is that process, `page` writes docs/benchmarks.md and its picture
from docs/benchmarks.json. A new workload is one new file.
"""
