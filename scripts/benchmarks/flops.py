"""What a TT layer costs at least, and what a sweep over its cores costs."""

from itertools import combinations
from math import prod


def least_flops(in_modes, out_modes, ranks, batch):
    """Floating-point operations of the cheapest order to contract x with the cores, in pairs.

    Dynamic programming over all subsets of the d + 1 tensors: 3^(d+1) splits (Pfeifer, Haegeman and
    Verstraete 2014). A product of two tensors takes 2 operations per combination of their indices.
    """
    tensors, size = [{"batch"}], {"batch": batch}
    for k, (n, m) in enumerate(zip(in_modes, out_modes, strict=True)):
        size |= {f"j{k}": n, f"i{k}": m, f"r{k}": ranks[k]}
        tensors[0].add(f"j{k}")
        tensors.append({f"r{k}", f"j{k}", f"i{k}", f"r{k + 1}"})
    size[f"r{len(in_modes)}"] = ranks[-1]
    everyone = frozenset(range(len(tensors)))
    results = {"batch", "r0", f"r{len(in_modes)}", *(f"i{k}" for k in range(len(in_modes)))}

    def open_indices(subset):
        rest = results.union(*(tensors[t] for t in everyone - subset))
        return set().union(*(tensors[t] for t in subset)) & rest

    cost = {frozenset([t]): 0 for t in everyone}
    opened = {subset: open_indices(subset) for subset in cost}
    for count in range(2, len(tensors) + 1):
        for subset in map(frozenset, combinations(everyone, count)):
            opened[subset] = open_indices(subset)
            cost[subset] = min(
                cost[part]
                + cost[subset - part]
                + 2 * prod(size[i] for i in opened[part] | opened[subset - part])
                for part in _halves(subset)
            )
    return cost[everyone]


def _halves(subset):
    """One part of every split of the subset into two: the part that holds its first member."""
    first, *others = sorted(subset)
    for count in range(len(others)):
        for rest in combinations(others, count):
            yield frozenset((first, *rest))


def sweep(in_modes, out_modes, ranks, batch):
    """Operations and numbers kept by a sweep from the last core to the first, core by core.

    A step is a product of (m_k r_{k-1}, n_k r_k) with the state; forward and backward take three
    such products, and forward keeps every state for backward.
    """
    flops = numbers = 0
    for k, (n, m) in enumerate(zip(in_modes, out_modes, strict=True)):
        rows = batch * prod(in_modes[:k]) * prod(out_modes[k + 1 :])
        flops += 2 * rows * n * m * ranks[k] * ranks[k + 1]
        numbers += rows * n * ranks[k + 1]
    return 3 * flops, numbers
