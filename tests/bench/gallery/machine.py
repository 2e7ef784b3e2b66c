"""What the machine holds: page cache of files, memory of this process, and a cold start."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True)


def drop_cached(folder: Path) -> None:
    """Make the kernel forget the pages of all files below (they are written out first)."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def cached_bytes(folder: Path) -> int:
    """Return how many bytes of the files below are in the page cache (mincore)."""
    return sum(_cached(path) for path in folder.rglob("*") if path.is_file())


def memory() -> dict[str, int]:
    """Return this process's resident bytes: its own (anonymous) and those of mapped files."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        name: int(facts[key].split()[0]) * 1024
        for name, key in (("anonymous", "RssAnon"), ("of_files", "RssFile"), ("peak", "VmHWM"))
    }


def _cached(path: Path) -> int:
    size = path.stat().st_size
    if size == 0:
        return 0
    mapped = np.memmap(path, np.uint8, mode="r")
    pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
    address = ctypes.c_void_p(mapped.ctypes.data)
    if _LIBC.mincore(address, ctypes.c_size_t(size), ctypes.c_void_p(pages.ctypes.data)):
        raise OSError(ctypes.get_errno(), "mincore")
    return int((pages & 1).sum()) * mmap.PAGESIZE
