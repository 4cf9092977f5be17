"""The context of all measurements: their size, and the engine that some of them need."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from bench.results import Result
from tests.support.service.engine import PrivateEngine, require


class Bench:
    """One run; the first measurement that needs the private engine starts it."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.result = Result()
        self._engine: PrivateEngine | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def engine(self) -> PrivateEngine:
        """A Docker Engine with its own state; raises EngineMissing if it cannot run here."""
        if self._engine is None:
            require()  # root and dockerd
            self._engine = PrivateEngine()
            # Before the start, which may fail halfway.
            self._stack.callback(self._engine.destroy)
            self._engine.start()
            self._engine.load_image()
        return self._engine

    def note(self, measurement: str, text: str) -> None:
        """Record a remark to print together with the figures."""
        self.result.notes.setdefault(measurement, []).append(text)

    def pick(self, full: int, quick: int) -> int:
        """Return the size for a full or a quick run."""
        return quick if self.quick else full
