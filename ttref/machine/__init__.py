"""What fast operators need of the machine: threads, memory, measured costs, products, CUDA."""
