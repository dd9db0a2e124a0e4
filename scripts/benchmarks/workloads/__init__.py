"""Groups of workloads, a file each."""
