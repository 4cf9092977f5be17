"""Find repeated and missing lines in the engine's follow stream of a rotated log, without I/O.

Seen with Docker 20.10, whose reader of a log follows the file's name:

- After a rotation it may read the new file a second time from its beginning.
- It may stay silent until the next rotation and then go on in the file after it; with
  compressed files it nearly always does.
- If it lags by more than one file, it skips those in between.

There is no sign of this in the stream.  A log that is read without following is complete.

The engine also answers a request for a stream before it has opened the log, rotated or not.
On a busy machine a log that is read right after the answer may end before the stream begins.
"""

from __future__ import annotations

import itertools
from collections import deque
from operator import lt
from typing import Final

from mist import clock
from mist.messages import Stream
from workers.container.container import Container
from workers.container.frames import Line, key

# The lines among which to look for a repeated one: at most so many, with so many characters.
# The engine repeats what it wrote within some milliseconds; a longer repetition is found
# in the log.
_WINDOW: Final = 4_096
_WINDOW_TEXT: Final = 1_048_576

# After this many lines a stream has passed what was published while it was opened.
_OVERLAP: Final = 100

# Bounds of the assumed writing speed of a container, in bytes per second.  Docker 20.10
# fills a file of 1 MB within 10 ms in a burst.
_SLOWEST: Final = 8_000_000
_FASTEST: Final = 250_000_000

# Lines of stdout and stderr may be out of order by the duration of a write, because the
# engine has one copier for each, and both stamp a line before they queue for the file.
_DISORDER_SECONDS: Final = 1.0

# A container may write this many times as fast as in its fastest moment of the last seconds.
_SURGE: Final = 8

# The shortest times over which to measure the speed of a burst and the usual one, in seconds.
_SHORTEST_SECONDS: Final = 0.0005
_MEASURE_SECONDS: Final = 0.05

# The time in which a burst is forgotten, in seconds.
_FADE_SECONDS: Final = 10.0

# The lines of a rotated log may be delayed by at most this long, in seconds, so that a
# stream never lags because of its reader.
_LONGEST_DELAY: Final = 0.025


def longest(container: Container, most: float) -> float:
    """Return how long the lines of a stream may be delayed, in seconds."""
    return most if container.rotates_at is None else min(most, _LONGEST_DELAY)


class Continuity:
    """The order of the lines of one follow stream.

    Give all lines to ``fresh``, which leaves out repeated ones, and those that are about to
    be published to ``continuous``.  The first line certainly follows what was published only
    if the stream repeats some of that.  Between two lines of a stream a whole file can only be
    missing if the engine had the time to write it.  Both time stamps are the engine's, so
    no clocks are compared.
    """

    def __init__(self, rotates_at: int | None) -> None:
        self._rotates_at = rotates_at
        self._window: deque[list[Line]] = deque()
        self._count = self._text = 0  # of the lines in the window
        self._newest = self._forgotten = ""
        self._expected: deque[Line] = deque()
        self._odd: Line | None = None
        self._sorted = False
        self.attached = False
        """No line is missing between what was published and the stream's first one."""
        self._unsettled: set[Stream] = {"stdout", "stderr"}
        self._passed = 0
        self._unfinished: set[str] = set()
        self._last: int | None = None  # the time of the last line, in nanoseconds
        self._unverifiable = False
        self._read = self._measured = 0.0  # times of the reader's clock
        self._peak = self._usual = 0.0  # in bytes per second
        self._bytes = 0

    def note(self, lines: list[Line]) -> None:
        """Take lines that were published, but not from this stream."""
        self._odd = None
        if lines:
            # Nothing is known of the lines before the first ones.
            self._forgotten = self._forgotten if self._window else lines[0].timestamp
            self._keep(lines)
            self._last = clock.nanoseconds(lines[-1].timestamp)

    def expect(self, unfinished: list[str]) -> None:
        """Take the keys of lines of which this stream may only give the last pieces."""
        self._unfinished.update(unfinished)

    @property
    def settled(self) -> bool:
        """Return True once the stream has passed what was published elsewhere."""
        return self.attached and not (self._unfinished or self._unsettled)

    def attach(self) -> None:
        """Take the stream's next lines as those that follow what was published."""
        self.attached = True

    def fresh(self, lines: list[Line]) -> list[Line]:
        """Return the lines that did not pass before."""
        # Every line of a rotated log passes through here, so the common case is short.
        self._sorted = False
        if self.settled and not self._expected and lines:
            stamps = [line.timestamp for line in lines]
            self._sorted = stamps[0] > self._newest and all(map(lt, stamps, stamps[1:]))
            if self._sorted:
                self._keep(lines)
                return lines
        found = [line for line in lines if self._is_fresh(line)]
        self._passed += len(found)
        if self._passed >= _OVERLAP:
            self._unsettled.clear()
        return found

    def continuous(self, lines: list[Line]) -> int:
        """Return how many of ``lines`` certainly follow the last one and one another."""
        if not lines or not self.attached:
            return 0
        last = clock.nanoseconds(lines[-1].timestamp)
        if self._unverifiable:
            return self._plausible(lines)
        # If the time did not go back, the whole bounds each part.
        if self._sorted and self._last is not None and self._close(last):
            self._last = last
            return len(lines)
        for index, line in enumerate(lines):
            at = clock.nanoseconds(line.timestamp)
            if self.is_earlier(line):
                self._odd = line
            if line is self._odd or not self._close(at):
                return index
            self._last = at
        self._odd = None
        return len(lines)

    def _plausible(self, lines: list[Line]) -> int:
        """Return how many of ``lines`` to publish if the log no longer shows what was between."""
        self._unverifiable = False
        for index, line in enumerate(lines):
            seconds = self.seconds_before(line)
            if index and (self.took_a_file(seconds) or seconds < -_DISORDER_SECONDS):
                return index
            self._last = clock.nanoseconds(line.timestamp)
        return len(lines)

    def restart(self) -> None:
        """Take the next lines as they come; they cannot be verified."""
        self._last = self._odd = None
        self._unverifiable = True

    def measure(self, now: float, size: int) -> None:
        """Record that ``size`` bytes were received at the time ``now``, in seconds."""
        took, self._read = now - self._read, now
        # What one read returns accumulated after its first byte, however long that took.
        speed = size / min(max(took, _SHORTEST_SECONDS), _LONGEST_DELAY)
        # The peak fades within some seconds.
        self._peak = max(self._peak * max(0.0, 1 - took / _FADE_SECONDS), speed)
        self._bytes += size
        if now - self._measured >= _MEASURE_SECONDS:
            # It fades with what is read, and not while the reader is stopped.
            self._usual = max(self._usual * 0.99, self._bytes / (now - self._measured))
            self._measured, self._bytes = now, 0

    @property
    def odd(self) -> bool:
        """Return True if the time went back."""
        return self._odd is not None

    def is_earlier(self, line: Line) -> bool:
        """Return True if the clock was set back between the last line and ``line``."""
        return self.seconds_before(line) < -_DISORDER_SECONDS

    def took_a_file(self, seconds: float) -> bool:
        """Return True if the container, as fast as it is now, fills a file in that time."""
        return self._rotates_at is not None and self._usual * seconds * 2 >= self._rotates_at

    def seconds_before(self, line: Line) -> float:
        """Return the time between the last line and ``line``."""
        if self._last is None:
            return 0.0
        return (clock.nanoseconds(line.timestamp) - self._last) / 1e9

    def _close(self, nanoseconds: int) -> bool:
        """Return True if no file can have been written between the last line and a time."""
        if self._rotates_at is None:
            return True
        if self._last is None:
            return False  # the beginning of the log may be missing
        speed = min(max(_SURGE * self._peak, _SLOWEST), _FASTEST)
        return nanoseconds - self._last < self._rotates_at / speed * 1e9

    def _is_fresh(self, line: Line) -> bool:
        if self._expected:
            if self._expected.popleft() == line:
                return False
            self._expected.clear()
        unsettled = line.stream in self._unsettled
        if unsettled or line.timestamp <= self._newest:
            kept = list(itertools.chain.from_iterable(self._window))
            if self._repeats(line, kept, unsettled=unsettled):
                self.attached = True
                return False
            self._unsettled.discard(line.stream)
            # A clock that was set back, or more repeated lines than are kept here.  Lines
            # of the other stream do not count, because it has a copier of its own.
            own = (one.timestamp for one in reversed(kept) if one.stream == line.stream)
            if line.timestamp < next(own, self._forgotten):
                self._odd, self._newest = self._odd or line, ""
        if self._unfinished:
            if key(line.stream, line.timestamp) in self._unfinished:
                self._odd = self._odd or line
            # A line of the same stream shows that the one before it will not go on.
            self._unfinished = {k for k in self._unfinished if not k.startswith(line.stream)}
        self._keep([line])
        return True

    def _repeats(self, line: Line, kept: list[Line], *, unsettled: bool) -> bool:
        """Return True if this line passed before; what followed it is expected next."""
        for index in range(len(kept) - 1, -1, -1):
            known = kept[index]
            if known.timestamp != line.timestamp or known.stream != line.stream:
                continue
            # A stream may begin within a line, after its first pieces.
            if known == line or unsettled:
                self._expected.extend(kept[index + 1 :])
                return True
        return False

    def _keep(self, lines: list[Line]) -> None:
        self._window.append(lines)
        self._count += len(lines)
        self._text += _characters(lines)
        self._newest = max(self._newest, lines[-1].timestamp)
        while len(self._window) > 1 and (self._count > _WINDOW or self._text > _WINDOW_TEXT):
            oldest = self._window.popleft()
            self._count -= len(oldest)
            self._text -= _characters(oldest)
            self._forgotten = oldest[-1].timestamp


def _characters(lines: list[Line]) -> int:
    return sum([len(line.text) for line in lines])
