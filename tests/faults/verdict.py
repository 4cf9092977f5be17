"""What a viewer's messages prove, compared with the engine's own log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.service.resuming import Arrival


@dataclass
class Verdict:
    """The outcome of one fault for one viewer, or the worst of several."""

    lost: int = 0
    """Lines that were left out and not announced at their place."""
    told: int = 0
    """Lines that were left out and announced by ``skipped`` at their place."""
    repeated: int = 0
    """Lines that came again or out of order, and announced lines that were not left out."""
    interruption: float = 0.0
    """The longest time without a line, in seconds, from the fault on."""
    where: str = ""
    """The first line that was lost or repeated, and its place among all lines."""


def judge(log: Sequence[str], arrivals: Iterable[Arrival], fault_at: float) -> Verdict:
    """Compare what arrived with the container's numbered lines."""
    place = {line: number for number, line in enumerate(log)}
    verdict, expected, announced = Verdict(), None, 0
    uncounted, before = False, ""
    for _, message, connection in arrivals:
        if message.get("type") == "skipped":
            announced += int(message["data"]["lines"])
            uncounted = uncounted or message["data"]["lines"] == 0
        if message.get("type") != "log":
            continue
        number = place[message["data"]["line"]]
        earlier, before = before, f"{message['data'].get('pos')} of connection {connection}"
        if expected is None:
            expected, announced, uncounted = number, 0, False  # it may have any number
        if number < expected:
            verdict.repeated += 1
            verdict.where = verdict.where or f"{number} again after {expected - 1}"
            continue
        left_out = number - expected
        if uncounted:  # nobody knows how many
            announced, uncounted = left_out, False
        if left_out > announced:
            found = f"{expected} of {len(log)} lines, between {earlier} and {before}"
            verdict.where = verdict.where or found
        verdict.told += min(announced, left_out)
        verdict.lost += max(0, left_out - announced)
        verdict.repeated += max(0, announced - left_out)
        expected, announced = number + 1, 0
    if expected != len(log):
        verdict.lost += len(log) - (expected or 0)
        verdict.where = verdict.where or f"the end, from {expected} of {len(log)} lines"
    verdict.interruption = _longest_pause(arrivals, fault_at)
    return verdict


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst figures of several viewers."""
    found = list(verdicts)
    return Verdict(
        max(one.lost for one in found),
        max(one.told for one in found),
        max(one.repeated for one in found),
        max(one.interruption for one in found),
        "; ".join(one.where for one in found if one.where),
    )


def _longest_pause(arrivals: Iterable[Arrival], fault_at: float) -> float:
    times = [each.at for each in arrivals if each.message.get("type") == "log"]
    return max((b - a for a, b in pairwise(times) if b > fault_at), default=0.0)
