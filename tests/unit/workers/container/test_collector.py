"""Tests of the collector, with histories of an engine and a bus that the test plays."""

from __future__ import annotations

import pytest

from bus.replay import Snapshot
from bus.wire import Flag, Header, Kind, Message
from mist import messages
from mist.errors import EngineError
from tests.support.collecting import CREATED, SETTINGS, History, container, line, stopped
from workers.container import recovery
from workers.container.resume import ResumePoint
from workers.container.states import State
from workers.container.stream import CheckDue, Ended, Idle, Lines, Suspect


@pytest.fixture
def history() -> History:
    """A collector at its start, for a running container without output."""
    return History()


# The start


def test_status_history_and_ready_come_first(history: History) -> None:
    """The first client gets the status, the tail and READY."""
    history.engine.logs["a"] = [line(1), line(2)]
    assert history.steps() is State.FOLLOWING
    assert history.kinds == [Kind.STATUS, Kind.LOG, Kind.READY]
    assert [flags for _, flags, _, _ in history.bus.published[:2]] == [Flag.HISTORY] * 2
    assert history.events[0]["data"] == {
        "container": "web",
        "state": "running",
        "status": "Up 2 hours",
    }


def test_an_application_that_does_not_exist(history: History) -> None:
    """A missing application is refused once with 4404 and looked up again."""
    history.app.name = None
    assert history.steps(3) is State.STARTING
    assert (history.messages, history.codes) == (["Application not found"], [4404])


def test_a_container_that_does_not_exist(history: History) -> None:
    """A missing container is refused with 4404; the stream starts when it appears."""
    history.engine.looks = [None, None, container()]
    history.until(State.FOLLOWING)
    assert (history.messages, history.codes) == (["Container not found"], [4404])
    assert history.kinds == [Kind.ERROR, Kind.STATUS, Kind.READY]


def test_a_container_that_does_not_run(history: History) -> None:
    """A stopped container's history is followed by an error and READY."""
    history.engine.container = stopped()
    history.engine.logs["a"] = [line(1)]
    assert history.steps() is State.ENDED
    assert history.kinds == [Kind.STATUS, Kind.LOG, Kind.ERROR, Kind.READY]
    assert history.messages == ["Container is not running (state: exited)"]
    assert history.codes == [4409]


def test_a_container_that_is_restarting_is_waited_for(history: History) -> None:
    """A restarting container is waited for without an error."""
    history.engine.container = stopped(restarting=True, state="restarting")
    assert history.steps() is State.AWAY
    assert history.kinds == [Kind.STATUS, Kind.READY]


def test_an_engine_that_refuses_the_history_gets_no_status_published(history: History) -> None:
    """No status is published while the engine refuses the history, or retries would repeat it."""
    history.engine.log_failure = "configured logging driver does not support reading"
    assert history.steps(5) is State.STARTING
    assert history.kinds == [Kind.ERROR]
    assert history.codes == [1013]


def test_an_engine_that_is_away_at_the_start(history: History) -> None:
    """An unreachable engine is reported at once, without its address."""
    history.engine.go_away()
    assert history.steps(3) is State.STARTING
    assert history.messages == ["Docker Engine is unreachable"]
    history.engine.fails = None
    assert history.steps() is State.FOLLOWING


def test_a_history_that_was_cut_short_is_completed(history: History) -> None:
    """After a crash before READY, a successor publishes only the missing part of the history."""
    history.engine.logs["a"] = [line(1), line(2)]
    history.out.resume_point = ResumePoint(line(1))
    assert history.steps() is State.FOLLOWING
    assert history.lines == ["line 2"]
    assert history.bus.published[1][1] is Flag.HISTORY


# Following


def test_lines_are_published_as_they_come(history: History) -> None:
    """Each event becomes a message and moves the resume point."""
    history.following()
    history.stream(Lines([line(1)]), Idle(), Lines([line(2), line(3)]))
    history.steps()
    assert history.lines == ["line 1", "line 2", "line 3"]
    assert [flags for _, flags, _, _ in history.bus.published] == [Flag(0)] * 2
    assert history.out.resume_point == ResumePoint(line(3))


def test_a_broken_stream_is_not_the_end(history: History) -> None:
    """A broken stream of a running container is reopened silently."""
    history.following()
    history.stream(Lines([line(1)]))
    history.stream(Lines([line(2)]))
    history.until(State.CHECKING)
    history.steps(2)
    assert history.lines == ["line 1", "line 2"]
    assert history.kinds == [Kind.LOG]


def test_a_stream_that_gives_nothing_is_opened_again_ever_more_slowly(history: History) -> None:
    """A stream that ends without lines is reopened with growing pauses."""
    history.following()
    for _ in range(5):
        history.stream()
    history.steps(10)
    assert history.bus.waits == [0.05, 0.1, 0.2, 0.25, 0.25]


def test_a_line_ends_the_slowness(history: History) -> None:
    """The first pause after a line is short again."""
    history.following()
    for script in ([], [], [Lines([line(1)])], []):
        history.stream(*script)
    history.steps(8)
    assert history.bus.waits == [0.05, 0.1, 0.05]


def test_what_the_engine_says_instead_of_a_line_is_trouble(history: History) -> None:
    """The engine's own complaint is trouble, which is published only if it lasts."""
    history.following()
    history.stream(Ended("the log is damaged"))
    assert history.steps() is State.CHECKING
    assert history.kinds == []


def test_lines_that_may_be_missing_are_read_from_the_log(history: History) -> None:
    """When lines may be missing, the log is read after the last published line."""
    history.following()
    history.stream(
        Lines([line(1)]), history.logs(*range(1, 6)), Suspect(), Lines([line(6)]), Suspect()
    )
    history.engine.streams[0].suspects = line(2)
    assert history.steps() is State.RECOVERING
    assert history.steps() is State.FOLLOWING
    assert history.lines == [f"line {number}" for number in range(1, 6)]
    [stream] = history.engine.followed
    assert stream.resumed[-1] == ResumePoint(line(5))
    assert not stream.closed
    history.steps()
    assert history.lines[-1] == "line 6"


def test_a_stream_that_left_lines_out_is_opened_again(history: History) -> None:
    """A stream that left lines out may do so again, so another is opened."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(1, 2, 3), Suspect())
    history.engine.streams[0].suspects = line(3)
    history.stream(Lines([line(4)]), Suspect())
    history.steps(3)
    assert history.lines == [f"line {number}" for number in range(1, 5)]
    assert [stream.closed for stream in history.engine.followed] == [True, False]


def test_lines_before_the_first_one_of_a_stream_are_read_from_the_log(history: History) -> None:
    """The engine may have opened the log late, after which the stream leaves nothing out."""
    history.following()
    history.stream(history.logs(1, 2, 3), Suspect(), Lines([line(4)]), Suspect())
    history.engine.streams[0].suspects = line(3)
    history.engine.streams[0].continues = False
    history.steps(3)
    assert history.lines == [f"line {number}" for number in range(1, 5)]
    [stream] = history.engine.followed
    assert stream.resumed[-1] == ResumePoint(line(3))


def test_a_stream_that_reads_a_deleted_file_goes_on(history: History) -> None:
    """If the log has neither the last nor the next line, only the stream still has them."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(5, 6), Suspect(), Lines([line(2)]), Suspect())
    history.engine.streams[0].suspects = line(2)
    history.steps(3)
    assert history.lines == ["line 1", "line 2"]
    assert history.engine.followed[0].resumed[0] is None


def test_what_a_removed_container_wrote_last_is_published(history: History) -> None:
    """A stream may still give the last lines of a container whose log was removed."""
    history.following()
    history.stream(Lines([line(1)]), history.engine.logs.clear, Suspect(), Lines([line(9)]))
    history.engine.streams[0].suspects = line(9)
    history.until(State.RECOVERING)
    history.steps(2)
    assert history.engine.followed[0].resumed[-1] is None
    assert history.lines == ["line 1", "line 9"]


def test_a_resume_point_is_looked_for_ever_deeper(history: History) -> None:
    """The resume point is searched for ever deeper, and twice in the whole log."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(*range(2, 59), times=20_000), Suspect())
    history.steps()
    history.engine.depths.clear()
    history.steps()
    assert history.engine.depths == [*recovery.DEPTHS, None]


def test_a_short_log_is_read_as_a_whole_at_once(history: History) -> None:
    """A log with few lines is not searched at each depth."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(2), Suspect())
    history.steps()
    history.engine.depths.clear()
    history.steps()
    assert history.engine.depths == [recovery.DEPTHS[0], None, None, None]


def test_lines_that_were_rotated_away_are_told(history: History) -> None:
    """Lines that are no longer in the log are skipped with a word, and the rest is published."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(5, 6), Suspect())
    history.steps(2)
    assert history.kinds == [Kind.LOG, Kind.SKIPPED, Kind.LOG]
    assert history.lines == ["line 1", "line 5", "line 6"]
    skipped = history.events[1]["data"]
    assert (skipped["lines"], skipped["reason"]) == (messages.UNKNOWN, "rotated")


def test_lines_that_were_deleted_while_the_engine_was_away_are_told(history: History) -> None:
    """The word says that the engine was the reason."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(5, 6), history.engine.go_away)
    history.until(State.CHECKING)
    history.steps(2)
    history.engine.fails = None
    history.stream(Lines([line(7)]))
    history.steps(3)
    assert history.lines == ["line 1", "line 5", "line 6", "line 7"]
    skipped = history.events[1]["data"]
    assert (skipped["lines"], skipped["reason"]) == (messages.UNKNOWN, "engine")


def test_a_log_that_lacks_only_the_last_line_is_not_repeated(history: History) -> None:
    """If older lines are there, and the last one is not, nothing is published twice."""
    history.following()
    history.stream(Lines([line(3)]), history.logs(1, 2, 5), Suspect())
    history.steps(2)
    assert history.kinds == [Kind.LOG, Kind.SKIPPED, Kind.LOG]
    assert history.lines == ["line 3", "line 5"]


def test_a_clock_that_was_set_back_hides_nothing(history: History) -> None:
    """Lines with earlier time stamps come after the ones before them, in the log's order."""
    history.following()
    history.stream(Lines([line(30)]), history.logs(30, 31, 5, 6), Suspect())
    history.steps(2)
    assert history.lines == [f"line {number}" for number in (30, 31, 5, 6)]


def test_lines_that_came_while_no_stream_was_open_are_read_first(history: History) -> None:
    """What the log holds from before the stream is published before the stream's lines."""
    history.following()
    history.engine.logs["a"] = [line(1), line(2)]
    history.stream(Lines([line(3)]), Suspect())
    history.steps()
    assert history.lines == ["line 1", "line 2", "line 3"]
    assert history.engine.followed[0].noted == [line(1), line(2)]


def test_a_removed_log_is_recovered_as_empty(history: History) -> None:
    """A removed log is recovered as an empty one; the next state finds the reason."""
    history.following()
    del history.engine.logs["a"]
    history.stream(Suspect())
    assert history.steps(2) is State.FOLLOWING
    assert history.lines == []


def test_a_stream_is_followed_while_the_container_is_the_same(history: History) -> None:
    """A check that finds the same container changes nothing."""
    history.following()
    history.stream(
        Lines([line(1)]), history.logs(1), CheckDue(True), CheckDue(False), Lines([line(2)])
    )
    history.steps()
    assert history.lines == ["line 1", "line 2"]


def test_a_silent_stream_is_left_when_the_log_has_newer_lines(history: History) -> None:
    """A stream that stays silent is left when the rotated log has newer lines."""
    history.following()
    history.stream(
        Lines([line(1)]), history.logs(1, 2), CheckDue(True), CheckDue(True), Lines([line(9)])
    )
    assert history.steps() is State.CHECKING
    assert history.lines == ["line 1"]


def test_a_line_in_transit_does_not_end_a_stream(history: History) -> None:
    """The log has a line a moment before the stream gives it."""
    history.following()
    history.stream(
        Lines([line(1)]),
        history.logs(1, 2),
        CheckDue(True),
        Lines([line(2)]),
        history.logs(1, 2, 3),
        CheckDue(True),
        Lines([line(3)]),
        CheckDue(True),
        Lines([line(4)]),
    )
    history.steps()
    assert history.lines == [f"line {number}" for number in range(1, 5)]


def test_a_stream_that_is_not_silent_is_not_compared_with_the_log(history: History) -> None:
    """An active stream is not compared with the log, because lines may be in transit."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(1, 2), CheckDue(False), Lines([line(2)]))
    history.steps()
    assert history.lines == ["line 1", "line 2"]


def test_a_container_that_was_renamed_is_not_followed_any_more(history: History) -> None:
    """A renamed container is no longer followed, although its stream continues."""
    history.following()
    history.engine.logs["b"] = [line(5, "new")]
    history.stream(
        Lines([line(1)]), lambda: history.engine.looks.append(container("b")), CheckDue(False)
    )
    assert history.steps(2) is State.FOLLOWING
    assert history.kinds == [Kind.LOG, Kind.STATUS]
    assert history.out.resume_point is None


def test_lines_wait_for_the_broker(history: History) -> None:
    """While the broker is away nothing is published, and nothing is lost."""
    history.following()
    history.stream(lambda: setattr(history.bus, "absences", 3), Lines([line(1)]))
    history.steps()
    assert history.bus.waits[:2] == [0.0, 0.0]
    assert history.lines == ["line 1"]


# The container's restart, replacement and end


def test_a_restart_is_a_status_in_the_same_stream(history: History) -> None:
    """A restart of the same container is a status in the same stream."""
    history.following()
    history.stream(Lines([line(1)]))
    history.steps()
    history.engine.container = container(started="2025-01-15T10:02:00.000000000Z")
    assert history.steps() is State.FOLLOWING
    assert history.kinds == [Kind.LOG, Kind.STATUS]
    assert history.out.resume_point == ResumePoint(line(1))


def test_an_exit_ends_the_stream(history: History) -> None:
    """An exit publishes the last lines, the status, the end, and 1000."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(1, 2))
    history.steps()
    history.engine.container = stopped()
    history.until(State.ENDED)
    assert history.kinds == [Kind.LOG, Kind.STATUS, Kind.END]
    assert history.lines == ["line 1", "line 2"]
    assert history.events[-2]["data"]["status"] == "Exited (0)"
    assert history.codes == [1000]


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (stopped(), 0.5),
        (stopped(restarting=True), 10.0),
        (stopped(state="created"), 10.0),
        (stopped("b"), 10.0),
        (None, 10.0),
    ],
)
def test_how_long_a_container_may_be_away(history: History, left: object, seconds: float) -> None:
    """A stopped container may be away only briefly; one that seems to be restarting, for longer."""
    history.following()
    history.stream()
    history.steps()
    history.engine.container = left  # type: ignore[assignment]
    history.until(State.AWAY)
    before = history.clock.now
    history.until(State.ENDED)
    assert history.clock.now - before == pytest.approx(seconds, abs=0.15)


def test_a_container_that_removes_itself_does_not_come_back(history: History) -> None:
    """The removal of a container with ``--rm`` is its end."""
    history.engine.container = container(auto_remove=True)
    history.following()
    history.stream()
    history.engine.looks = [None]
    history.until(State.ENDED)
    assert history.clock.now < 102
    assert history.events[-2]["data"] == {
        "container": "web",
        "state": "exited",
        "status": "Removed",
    }


def test_a_deployment_may_take_its_time(history: History) -> None:
    """A stop during a deployment is not the end."""
    history.following()
    history.stream()
    history.app.replaced = True
    history.engine.looks = [*[stopped()] * 20, container("b")]
    history.until(State.AWAY)
    assert history.steps(2) is State.FOLLOWING
    assert history.kinds == [Kind.STATE, Kind.STATUS]


def test_a_new_container_of_the_name_has_a_log_with_a_beginning(history: History) -> None:
    """After a replacement come the old one's last lines, a status, and the new one's whole log."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(1, 2))
    history.engine.logs["b"] = [line(3)]
    history.steps()
    history.engine.container = container("b")
    history.steps()
    assert history.lines == ["line 1", "line 2"]
    assert history.kinds == [Kind.LOG, Kind.STATUS]
    assert history.out.resume_point is None


def test_a_container_that_comes_back_goes_on_where_it_was_left(history: History) -> None:
    """After a failed deployment the old container resumes without repeated lines."""
    history.following()
    history.stream(Lines([line(1)]))
    history.stream(Lines([line(2)]))
    history.engine.looks = [container("b"), container("a")]
    history.steps(4)
    assert history.lines == ["line 1", "line 2"]
    assert history.out.resume_point == ResumePoint(line(1))


def test_a_container_that_is_replaced_and_ends_at_once(history: History) -> None:
    """Both logs are published completely even if the new container ends at once."""
    history.following()
    history.stream(Lines([line(1)]), history.logs(1, 2))
    history.engine.logs["b"] = [line(3)]
    history.steps()
    history.engine.container = stopped("b")
    history.until(State.ENDED)
    assert history.lines == ["line 1", "line 2", "line 3"]


def test_a_container_is_followed_after_another_has_its_name(history: History) -> None:
    """While both run, the log of the replaced one goes on; then comes all of the new one."""
    history.following()
    engine = history.engine

    def take_over() -> None:
        engine.container, engine.replaced = container("b")._replace(replaces="a"), engine.container

    def stop() -> None:
        engine.replaced = None

    history.stream(
        Lines([line(1)]), take_over, CheckDue(False), Lines([line(3)]), history.logs(1, 3), stop
    )
    engine.logs["b"] = [line(2), line(4)]
    history.stream()
    history.until(State.CHECKING)
    assert history.lines == ["line 1", "line 3"]
    history.steps(2)
    assert history.lines == ["line 1", "line 3", "line 2", "line 4"]


# After the end


def ended(history: History) -> History:
    """Run a history up to the end of its container."""
    history.following()
    history.stream(Lines([line(1)]))
    history.steps()
    history.engine.container = stopped()
    history.until(State.ENDED)
    history.bus.published.clear()
    return history


def test_an_end_is_published_once(history: History) -> None:
    """After the end, nothing is published while the container stays the same."""
    assert ended(history).steps(10) is State.ENDED
    assert history.kinds == []


def test_a_container_that_was_started_again_is_followed(history: History) -> None:
    """A restarted container is followed after a status and behind its last line."""
    ended(history)
    history.engine.container = container(started="2025-01-15T11:00:00.000000000Z")
    history.stream(Lines([line(2)]))
    history.steps(2)
    assert history.kinds == [Kind.STATUS, Kind.LOG]


def test_a_run_that_was_over_before_it_was_seen_is_published(history: History) -> None:
    """A run that ended unnoticed is published: its lines, its status and another end."""
    ended(history)
    history.engine.logs["a"] = [line(1), line(2)]
    history.engine.container = stopped(started="2025-01-15T11:00:00.000000000Z")
    assert history.steps() is State.ENDED
    assert history.kinds == [Kind.LOG, Kind.STATUS, Kind.END]


def test_a_removed_container_stays_ended(history: History) -> None:
    """Nothing is published about a removed container."""
    ended(history)
    history.engine.container = None
    assert history.steps(5) is State.ENDED
    assert history.kinds == []


# Trouble with the engine


def test_a_short_absence_of_the_engine_shows_in_nothing(history: History) -> None:
    """A short absence of the engine is not published; the log continues behind the last line."""
    history.following()
    history.engine.go_away()
    assert history.steps(3) is State.CHECKING
    history.engine.fails = None
    history.stream(Lines([line(1)]))
    history.steps(2)
    assert history.kinds == [Kind.LOG]


def test_a_long_absence_of_the_engine_is_published_once(history: History) -> None:
    """A long absence is published once as error 1013, and followed by a status on return."""
    history.following()
    history.engine.go_away()
    history.steps(60)
    assert (history.messages, history.codes) == (["Docker Engine is unreachable"], [1013])
    history.engine.fails = None
    history.stream(Lines([line(1)]))
    history.steps(2)
    assert history.kinds == [Kind.ERROR, Kind.STATUS, Kind.LOG]


def test_two_short_absences_are_not_a_long_one(history: History) -> None:
    """A line between two short absences ends the first."""
    history.following()
    for number in (1, 2):
        history.engine.go_away()
        history.steps(30)
        history.engine.fails = None
        history.stream(Lines([line(number)]))
        history.until(State.FOLLOWING)
        history.steps()
    assert history.kinds == [Kind.LOG]


@pytest.mark.parametrize("seconds", [20, 100])
def test_trouble_while_recovering_does_not_lose_the_gap(history: History, seconds: int) -> None:
    """Trouble during a recovery does not lose the gap, because the log is read again from there."""
    history.following()
    history.stream(Lines([line(1)]), Suspect())
    history.steps()
    history.engine.go_away()
    history.steps(seconds)
    assert history.collector.state is State.CHECKING
    assert history.out.resume_point == ResumePoint(line(1))


def test_trouble_after_the_end_is_not_published(history: History) -> None:
    """Trouble after the end is not published, because the clients know the end already."""
    ended(history)
    history.engine.go_away()
    assert history.steps(100) is State.ENDED
    assert history.kinds == []


def test_a_refusal_is_published_in_the_engines_words(history: History) -> None:
    """A refusal is published in the engine's words; an unreachable engine's address is omitted."""
    history.engine.fails = EngineError("the engine is out of memory")
    history.steps()
    assert history.messages == ["the engine is out of memory"]


# Taking over from a collector that crashed


def test_a_successor_goes_on_without_a_word() -> None:
    """A successor of the same run resumes the stream silently."""
    history = History(opened=True)
    history.out.resume_point = ResumePoint(line(1))
    history.stream(Lines([line(2)]))
    assert history.steps() is State.FOLLOWING
    history.steps()
    assert history.kinds == [Kind.LOG]


def test_a_successor_tells_of_a_restart_that_nobody_saw() -> None:
    """A successor publishes a status if the container started after the last published line."""
    history = History(opened=True)
    history.out.resume_point = ResumePoint(line(1))
    history.engine.container = container(started="2025-01-15T11:00:00.000000000Z")
    history.steps()
    assert history.kinds == [Kind.STATUS]
    assert history.out.resume_point == ResumePoint(line(1))


def test_a_successor_does_not_resume_in_another_containers_log() -> None:
    """A container younger than the last published line is not resumed."""
    history = History(opened=True)
    history.out.resume_point = ResumePoint(line(1))
    history.engine.container = container("b", created="2025-01-15T11:00:00.000000000Z")
    history.steps()
    assert history.out.resume_point is None
    assert line(1).timestamp > CREATED


@pytest.mark.parametrize(("final", "state"), [(True, State.ENDED), (False, State.AWAY)])
def test_a_successor_publishes_an_end_that_its_predecessor_did_not(
    final: bool, state: State
) -> None:
    """A successor publishes an end only if its predecessor did not."""
    history = History(opened=True)
    history.out.final = final
    history.engine.container = stopped()
    assert history.steps() is state


def test_a_successor_waits_for_the_engine() -> None:
    """A successor retries while the engine is away."""
    history = History(opened=True)
    history.engine.go_away()
    assert history.steps(3) is State.REJOINING
    history.engine.fails = None
    assert history.steps() is State.FOLLOWING


def test_a_successor_whose_container_was_never_seen_starts_from_the_beginning() -> None:
    """After an end without a container, the first container starts with its whole history."""
    history = History(opened=True)
    history.out.final = True
    history.engine.looks = [None, None, container(), container()]
    history.until(State.FOLLOWING)
    assert history.kinds == [Kind.STATUS, Kind.READY]


def test_a_predecessors_messages_say_where_to_resume() -> None:
    """A predecessor's messages give the last lines, their count, completeness and the end."""
    history = History()
    body = messages.log(line(1).timestamp, "line 1", "stdout")
    sent = [
        Message(b"t", Header(Kind.LOG, 1, 1, 1, flags=Flag.HISTORY), body),
        Message(b"t", Header(Kind.READY, 1, 1, 2), b""),
        Message(b"t", Header(Kind.LOG, 1, 1, 3), body),
        Message(b"t", Header(Kind.END, 1, 1, 4, code=1000), messages.end()),
    ]
    history.out.recall(Snapshot(b"t", 1, 1, 4, sent))
    assert history.out.resume_point == ResumePoint(line(1), repeats=2)
    assert (history.out.opened, history.out.final) == (True, True)


def test_containers_that_were_left_long_ago_are_forgotten(history: History) -> None:
    """The number of remembered earlier containers is bounded."""
    for number in range(20):
        history.out.resume_point = ResumePoint(line(number))
        history.out.change_container(f"c{number}", "new")
    history.out.change_container("new", "c0")
    assert history.out.resume_point is None
    history.out.change_container("c0", "c19")
    assert history.out.resume_point == ResumePoint(line(19))


def test_many_lines_are_as_few_messages_as_the_limit_allows(history: History) -> None:
    """Each batch of lines is a message that moves the resume point."""
    limit = SETTINGS.bus.batch_bytes
    history.out.lines([line(number, "x" * 1_000) for number in range(1, 59)] * 10)
    assert all(len(body) <= limit for *_, body in history.bus.published)
    assert len(history.bus.published) == pytest.approx(580 * 1_090 / limit, abs=2)
