"""What depends on the machine: its threads, caches and memory, what products cost, and CUDA."""
