"""Changes of files: of bytes, of sizes, of nesting, and of values in a tree."""

import copy

TOKENS = (b"[", b"{", b"(", b"]", b"}", b"}]", b'{"a":', b"\x85", b"(t", b"N", b"\0", b"9", b"../")
SIZES = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1)
ODD = (None, True, False, 0, -1, 1.5, 10**9, 10**30, float("nan"), float("inf"), "", "x" * 5000)
MOST_REPEATED = 20000  # tokens in a row


def change_bytes(content, draws):
    """One to four changes of a file's bytes, at random places."""
    found = bytearray(content)
    for _ in range(draws.choice((1, 1, 1, 2, 4))):
        draws.choice(BYTES)(found, draws)
    return bytes(found)


def flip(content, draws):
    """Another bit."""
    if content:
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)


def put(content, draws):
    """Another byte, in the first part more often."""
    if content:
        content[_place(content, draws)] = draws.randrange(256)


def cut(content, draws):
    """A shorter file."""
    del content[_place(content, draws) :]


def remove(content, draws):
    """A piece is gone."""
    start = _place(content, draws)
    del content[start : start + draws.randrange(1, 64)]


def double(content, draws):
    """A piece is there twice."""
    start = _place(content, draws)
    content[start:start] = content[start : start + draws.randrange(1, 4096)]


def nest(content, draws):
    """A token is there many times in a row."""
    start = _place(content, draws)
    content[start:start] = draws.choice(TOKENS) * draws.randrange(1, MOST_REPEATED)


def size(content, draws):
    """A number of 2 to 8 bytes is one that sizes break at."""
    width = draws.choice((2, 4, 8))
    start = _place(content, draws)
    order = draws.choice(("little", "big"))
    value = draws.choice(SIZES) & (1 << 8 * width) - 1
    content[start : start + width] = value.to_bytes(width, order)


BYTES = (flip, flip, put, put, cut, remove, double, nest, size, size)


def _place(content, draws):
    """A place in the file; half of them among the first 512 bytes, where headers are."""
    most = len(content) if draws.random() < 0.5 else min(len(content), 512)
    return draws.randrange(max(1, most))


def change_tree(tree, draws):
    """A copy of nested dicts and tuples with one to three odd values, keys or orders."""
    found = thaw(copy.deepcopy(tree))
    for _ in range(draws.choice((1, 1, 2, 3))):
        places = list(_places(found))
        if places:
            holder, key = draws.choice(places)
            _change_at(holder, key, draws)
    return found


def thaw(tree):
    """The tree with lists in place of tuples, which can be changed."""
    if isinstance(tree, dict):
        return {key: thaw(value) for key, value in tree.items()}
    return [thaw(value) for value in tree] if isinstance(tree, tuple | list) else tree


def _places(tree):
    """Every ``(dict or list, key or index)`` in a tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in pairs:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change_at(holder, key, draws):
    value = holder[key]
    kind = draws.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        items = list(holder.items())
        draws.shuffle(items)
        holder.clear()
        holder.update(items)
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == 3:
        holder[key] = [value]
    elif kind == 4 and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = draws.choice((-value, value + 1, value * 10**6, float(value), str(value)))
    else:
        holder[key] = draws.choice(ODD)
