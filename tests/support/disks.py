"""A data directory in memory that forgets, at a crash, what was not made durable."""

from typing import final


class PowerCutError(Exception):
    """The machine stopped in the middle of a disk operation."""


@final
class MemoryFile:
    def __init__(self, disk, content):
        self._disk = disk
        self._content = content

    def write(self, data):
        self._disk.step("write")
        self._content.live += data

    def sync(self):
        self._disk.step("sync")
        self._content.durable = bytes(self._content.live)

    def size(self):
        return len(self._content.live)

    def close(self):
        pass


class _Content:
    def __init__(self, data=b""):
        self.live = bytearray(data)
        self.durable = bytes(data)


class MemoryDisk:
    """Honest twin of the Disk port: names become durable with the directory, bytes with the file.

    ``cut_after`` lets so many changing operations succeed; the next one raises PowerCutError.
    """

    def __init__(self, files=None):
        self._names = {name: _Content(data) for name, data in (files or {}).items()}
        self._durable_names = dict(self._names)
        self.cut_after = None
        self.steps = 0

    def step(self, _what):
        if self.cut_after is not None and self.steps >= self.cut_after:
            raise PowerCutError
        self.steps += 1

    def crash(self):
        """Return the directory as a restart finds it."""
        return MemoryDisk({name: c.durable for name, c in self._durable_names.items()})

    def names(self):
        return sorted(self._names)

    def read(self, name, offset=0, size=-1):
        data = bytes(self._names[name].live)[offset:]
        return data if size < 0 else data[:size]

    def append(self, name):
        self.step("append")
        return MemoryFile(self, self._names.setdefault(name, _Content()))

    def truncate(self, name, size):
        self.step("truncate")
        content = self._names[name]
        del content.live[size:]
        content.durable = bytes(content.live)

    def rename(self, old, new):
        self.step("rename")
        self._names[new] = self._names.pop(old)

    def remove(self, name):
        self.step("remove")
        del self._names[name]

    def sync_directory(self):
        self.step("sync_directory")
        self._durable_names = dict(self._names)
