"""What is fuzzed: a valid file for each loader, changed, read, and compared with what it was.

A loader's `make` gives the valid file's contents in a list of strategies: each is a function of a
generator of random numbers that returns a changed file. `load` reads a file and returns a text that
tells its values. Where `is_summed`, the format has a checksum that `strategies[0]` does not repair.
"""

import functools
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import tempfile
import warnings
from pathlib import Path

import fuzz_mutators as mutators
import numpy as np
from scipy.io import savemat

from ttref import storage
from ttref.convert.files import read_file, write_file
from ttref.datasets import archives, avletters, cifar10, hmdb51, mnist
from ttref.fast.tt_plan.plan import Problem, plan_key
from ttref.layers import Dense, Dropout, Sequential
from ttref.machine import measurements
from ttref.machine.costs import SHIPPED
from ttref.optim import Adam
from ttref.train import fit


class Loader:
    """A valid file, ways to change it, and how it is read.

    Parameters
    ----------
    content : bytes
    strategies : dict of functions of a random.Random, each returns bytes
    load : function of a path, returns a text
    is_summed : bool
        Whether a checksum of the format covers all bytes: then changes of bytes must not be read
        as other values.
    name : str
        Of the file.
    """

    def __init__(self, content, strategies, load, is_summed, name):
        self.content = content
        self.strategies = strategies
        self.load = load
        self.is_summed = is_summed
        self.name = name


def digest(*values):
    """A text that tells arrays, texts and numbers."""
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()


def of_bytes(content):
    """The strategy that changes bytes."""
    return lambda draws: mutators.change_bytes(content, draws)


# Checkpoints


def train(folder, **options):
    """A small run of training."""
    rng = np.random.default_rng(0)
    net = Sequential([Dense(3, 4, activation="tanh"), Dropout(0.25), Dense(4, 2)])
    data = rng.standard_normal((10, 3)), rng.integers(0, 2, 10)
    settings = {"batch_size": 4, "progress": False, "ema": 0.9, "out": folder}
    return fit(net, net.init(0, "float64"), data, Adam(0.1), 2, **settings, **options)


@functools.cache
def checkpoint_file():
    """The checkpoint of that run, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        train(folder)
        return Path(folder, "checkpoint.npz").read_bytes()


def checkpoint():
    """A run resumed from a changed checkpoint; half of them with a checksum that is right."""
    content = checkpoint_file()

    def structure(draws):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.npz")
            path.write_bytes(content)
            tree = storage.load(path)
            storage.save(path, mutators.change_tree(tree, draws))
            return path.read_bytes()

    def load(path):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another machine
            Path(folder, "checkpoint.npz").write_bytes(path.read_bytes())
            rows = train(folder, resume=True).rows
            saved = storage.load(Path(folder, "checkpoint.npz"))["run"]
            losses = [row["loss"] for row in rows]
            return digest(*losses, saved["params"][0]["kernel"], saved["generator"])

    strategies = {"bytes": of_bytes(content), "structure": structure}
    return Loader(content, strategies, load, True, "checkpoint.npz")


def npz():
    """A tree of arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npz")
        storage.save(path, {"a": np.arange(6.0).reshape(2, 3), "b": (np.ones(2, bool), "text", 3)})
        content = path.read_bytes()

    def load(path):
        tree = storage.load(path)
        return digest(tree["a"], tree["a"].shape, tree["b"][0], tree["b"][1:])

    return Loader(content, {"bytes": of_bytes(content)}, load, True, "tree.npz")


# Data sets


def mnist_idx():
    """Gzipped images; gzip has a checksum, which the second strategy makes anew."""
    inner = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (5, 4, 4)) + bytes(range(80))
    content = gzip.compress(inner, mtime=0)
    repacked = of_bytes(inner)
    strategies = {
        "bytes": of_bytes(content),
        "inside": lambda draws: gzip.compress(repacked(draws), 1, mtime=0),
    }

    def load(path):
        found = mnist.read_idx(path)
        return digest(found, found.shape)

    return Loader(content, strategies, load, True, "images.gz")


def cifar_batch():
    """A pickle of ten images, as Python 2 pickles it."""
    cifar10.IMAGES = 10
    pixels = bytes(k % 251 for k in range(10 * 3072))
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray"
        b"\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01M\x0a\x00M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K"
        b"\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(pixels).to_bytes(4, "little")
        + pixels
        + b"tbU\x06labelsq\x08]q\x09("
        + b"".join(b"K" + bytes([k]) for k in range(10))
        + b"eu."
    )

    def load(path):
        found = cifar10.read_batch("batch", path.read_bytes())
        return digest(found.x, found.target)

    return Loader(content, {"bytes": of_bytes(content)}, load, False, "data_batch_1")


def archive(pack, suffix):
    """An archive of three files, of which two are wanted."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("a-lips.mat", "readme", "b-lips.mat"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(name.encode() * 200))
    inner = file.getvalue()
    content = pack(inner)
    repacked = of_bytes(inner)
    strategies = {
        "bytes": of_bytes(content),
        "inside": lambda draws: pack(repacked(draws)),
    }

    def load(path):
        found = archives.read_members(path, lambda name: name.endswith("-lips.mat"), 10**6)
        return digest(*[part for pair in found for part in pair])

    return Loader(content, strategies, load, True, f"archive.tar{suffix}")


def matlab():
    """A clip of AVLetters."""
    frames = bytes(k % 256 for k in range(2 * 4800))
    header = np.asarray([50, 4800, 2, 0, 4], "<i4").tobytes() + b"vid\0" + frames
    size = np.asarray([0, 1, 3, 0, 4], "<i4").tobytes() + b"siz\0"
    content = header + size + np.asarray([60.0, 80.0, 2.0], "<f8").tobytes()

    def load(path):
        return digest(avletters.read_clip("clip", path.read_bytes()))

    return Loader(content, {"bytes": of_bytes(content)}, load, False, "A1_x-lips.mat")


def list_of_clips():
    """A split file of HMDB51, beside its clips."""
    content = b"a.avi 1\nb.avi 2\nc.avi 0\n"

    def load(path):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("a.avi", "b.avi", "c.avi"):
                Path(folder, name).touch()
            return digest(hmdb51._read_split(path, Path(folder)))

    return Loader(content, {"bytes": of_bytes(content)}, load, False, "run_test_split1.txt")


# Measurements


def machine_json():
    """The user's measurements, with a plan."""
    document = json.loads(SHIPPED.read_text())
    problem = Problem((2, 3), (3, 2), (1, 2, 1), 4)
    document["plans"] = {plan_key(problem): [[[0, 1], [1, 2]], True, 1]}
    document["machines"] = dict(list(document["machines"].items())[:1])
    content = json.dumps(document).encode()
    strategies = {
        "bytes": of_bytes(content),
        "structure": lambda draws: json.dumps(mutators.change_tree(document, draws)).encode(),
    }

    def load(path):
        found = measurements.read_quietly(path)
        for machine in found.machines.values():
            machine.product(1, 3, 4, 5)
        return digest(found)

    return Loader(content, strategies, load, False, "machine.json")


# Weights of other systems


def weights(end):
    """Arrays in a file of another system, which has no checksum, or one that is made anew."""
    arrays = {"core_0": np.arange(6.0).reshape(1, 2, 3, 1), "bias": np.ones(3, "float32")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"weights.{end}")
        write_file(path, arrays)
        content = path.read_bytes()
    if end == "mat":
        content = struct_of_matlab(arrays, False)

    def load(path):
        found = read_file(path)
        return digest(*(value for name in sorted(found) for value in (name, found[name])))

    strategies = {"bytes": of_bytes(content)}
    if end == "safetensors":
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])

        def structure(draws):
            text = json.dumps(mutators.change_tree(header, draws)).encode()
            return len(text).to_bytes(8, "little") + text + content[start:]

        strategies["structure"] = structure
    if end == "mat":
        strategies["compressed"] = of_bytes(struct_of_matlab(arrays, True))
    return Loader(content, strategies, load, False, f"weights.{end}")


def struct_of_matlab(arrays, compressed):
    """The bytes of a .mat file with a struct."""
    file = io.BytesIO()
    savemat(file, {"W": arrays}, do_compression=compressed)
    return file.getvalue()


LOADERS = {
    "checkpoint": checkpoint,
    "npz": npz,
    "mnist": mnist_idx,
    "cifar10": cifar_batch,
    "tar.gz": lambda: archive(lambda inner: gzip.compress(inner, 1, mtime=0), ".gz"),
    "tar.xz": lambda: archive(lambda inner: lzma.compress(inner, preset=0), ".xz"),
    "avletters": matlab,
    "weights.npz": functools.partial(weights, "npz"),
    "weights.safetensors": functools.partial(weights, "safetensors"),
    "weights.mat": functools.partial(weights, "mat"),
    "hmdb51": list_of_clips,
    "machine.json": machine_json,
}
