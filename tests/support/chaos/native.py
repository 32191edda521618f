"""The two C programs of this package: compiled when they are needed, and their shared files."""

import enum
import mmap
import shutil
import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def compiled(name: str, directory: Path) -> Path:
    """Compile ``name`` (``switch`` or ``shim``) into ``directory``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("a C compiler is needed (Debian: apt-get install gcc libc6-dev)")
    target = directory / name
    as_library = ["-shared", "-fPIC"] if name == "shim" else []
    command = [compiler, "-O2", *as_library, "-o", str(target), str(HERE / f"{name}.c"), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return target


class SharedFile:
    """A small mapped file of numbers that another process reads and writes too."""

    def __init__(self, path: Path, size: int) -> None:
        """Create it, full of zeros."""
        path.write_bytes(bytes(size))
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def get(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self._map, at)

    def put(self, form: str, at: int, *values: int) -> None:
        struct.pack_into(form, self._map, at, *values)


class Refuses(enum.IntEnum):
    """What the disk of a node does not do, as in shim.c."""

    NOTHING = 0
    SYNCS = 1
    WRITES = 2
    """As a read-only file system."""
    WRITES_BROKEN = 3
    """As a disk that is failing."""
    HASTE = 4
    """Syncs are slow: each takes 0.3 s."""


class Shim:
    """The wall clock of one node's processes, and what its disk refuses."""

    def __init__(self, path: Path) -> None:
        """Nothing is moved yet, and nothing refused."""
        self._file = SharedFile(path, 40)
        self.path = path

    def move(self, seconds: float) -> None:
        """Let the wall clock differ from the machine's by so much."""
        self._file.put("q", 0, int(seconds * 1e9))

    @property
    def reads(self) -> int:
        return self._file.get("q", 16)[0]

    @property
    def seen_s(self) -> float:
        """The offset that the process saw when it looked last."""
        return self._file.get("q", 8)[0] / 1e9

    def refuse(self, what: Refuses) -> None:
        self._file.put("q", 24, what)

    @property
    def refused(self) -> int:
        """How often a call was refused, or took long."""
        return self._file.get("q", 32)[0]
