"""One pace for a whole run: a token bucket and a bound on open data connections, shared by all processes through files.

Both live in a folder that every job sees (the download cache), so that a hundred jobs on ten nodes together ask as
often as one polite user. The bucket is the virtual-scheduling form of the generic cell rate algorithm (ITU-T I.371,
annex A): the file holds the time of the next free request; whoever comes takes that time under a lock, moves it on by
one interval and sleeps until its own has come. Waiting takes place outside the lock, in order of arrival.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST_RESERVATION_S = 3600.0


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold an exclusive lock on `path` (made if need be); yields its file descriptor. Released if the process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class TokenBucket:
    """At most `rate_per_s` requests a second over all processes that name the same file; `burst` may follow at once."""

    path: Path
    rate_per_s: float
    burst: int = 1

    def take(self) -> float:
        """Wait for this request's turn; returns the seconds waited."""
        interval = 1.0 / self.rate_per_s
        with locked(self.path) as descriptor:
            now = time.time()
            free = _read_time(descriptor)
            # A clock set back, or a file of another age, must not stop the run for good.
            if free > now + LONGEST_RESERVATION_S:
                free = now
            turn = max(now, free - (self.burst - 1) * interval)
            _write_time(descriptor, max(free, turn) + interval)
        wait = turn - now
        if wait > 0:
            time.sleep(wait)
        return max(wait, 0.0)

    def pause(self, seconds: float) -> None:
        """Nobody asks again before `seconds` are over: the server said so (Retry-After)."""
        with locked(self.path) as descriptor:
            until = time.time() + min(seconds, LONGEST_RESERVATION_S)
            _write_time(descriptor, max(_read_time(descriptor), until + (self.burst - 1) / self.rate_per_s))


def _read_time(descriptor: int) -> float:
    text = os.pread(descriptor, 64, 0)
    with suppress(ValueError):
        return float(text)
    return 0.0


def _write_time(descriptor: int, value: float) -> None:
    # Always the same length, so that no truncation is needed between two states.
    os.pwrite(descriptor, f"{value:<32.6f}".encode(), 0)


@dataclass(frozen=True)
class ConnectionSlots:
    """At most `count` data connections at a time over all processes that name the same folder."""

    folder: Path
    count: int

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for a free slot and hold it."""
        descriptor = self._acquire()
        try:
            yield
        finally:
            os.close(descriptor)

    def _acquire(self) -> int:
        first = os.getpid() % self.count
        while True:
            for step in range(self.count):
                path = self.folder / f"slot.{(first + step) % self.count}"
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except BlockingIOError:
                    os.close(descriptor)
            time.sleep(0.02)
