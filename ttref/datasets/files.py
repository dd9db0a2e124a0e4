"""Where data files are: in a folder that the user names, or in the cache of downloads.

The checksum of every file is compared with that of the official distribution.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from ttref import storage
from ttref.errors import ConventionError, DataError
from ttref.paths import expand_home


def locate(dataset: str, name: str, md5: str, url: str, data: str | Path | None = None) -> Path:
    """Find the file `name` of `dataset`, and verify its contents.

    Parameters
    ----------
    dataset, name : str
        The file is looked for at ``DIR/dataset/name`` and ``DIR/name``.
    md5 : str
        The checksum of the official file.
    url : str
        Where the file is downloaded from if no DIR is given (needs the extra ``data``).
    data : str or Path, optional
        DIR; by default the environment variable ``TTREF_DATA``.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file is missing, cannot be downloaded, or is not the official one.
    """
    root = data_folder(data)
    if root is None:
        return _download(name, md5, url)
    candidates = [root / dataset / name, root / name]
    for path in candidates:
        if path.is_file():
            return _verify(path, md5)
    raise DataError(
        f"{dataset}: {name} is not in {candidates[0].parent} nor in {root}; put the official file "
        "there, or unset TTREF_DATA (and --data) to download it"
    )


def data_folder(data: str | Path | None = None) -> Path | None:
    """The folder of the data sets: `data` or, by default, ``TTREF_DATA``; None where none is named.

    Raises
    ------
    DataError
        If it is not a folder.
    """
    named = data or os.environ.get("TTREF_DATA")
    if not named:
        return None
    try:
        root = expand_home(named)
    except ConventionError as error:
        raise DataError(f"the data sets cannot be read: {error}") from None
    if not root.is_dir():
        raise DataError(f"the data sets are to be read from {named}, which is not a folder")
    return root


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file; raise `DataError` if it has more than `most` bytes, or cannot be read."""
    try:
        return storage.read_bounded(path, most)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise DataError(
            f"{path} {error}, which no file of the data set has; fetch it again"
        ) from None


def _verify(path: Path, md5: str) -> Path:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, _md5).hexdigest()
    if actual != md5:
        raise DataError(
            f"{path} has MD5 {actual}, the official file has {md5}; it is damaged or another file"
        )
    return path


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _download(name: str, md5: str, url: str) -> Path:
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"{name} is needed: name a folder that has it in TTREF_DATA or --data, or "
            "pip install 'ttref[data]' to have it downloaded"
        ) from None
    try:
        cache = Path(pooch.os_cache("ttref"))
    except (RuntimeError, KeyError):  # there is no home
        cache = Path()
    if not cache.is_absolute():  # or it begins with a ~ that stands for nothing
        raise DataError(
            f"{name} is needed, and there is no home folder to download it to; name a folder that "
            "has it in TTREF_DATA or --data"
        )
    try:
        return Path(pooch.retrieve(url, f"md5:{md5}", name, cache))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name} could not be downloaded from {url} ({error}); download it by hand, and name "
            "its folder in TTREF_DATA or --data"
        ) from None
