"""Tests of the noticeboard from which collectors read the supervisor's knowledge."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mist.errors import StoreError
from mist.noticeboard import AppFacts, Notice, Noticeboard


def test_a_notice_says_what_was_posted_last() -> None:
    """A notice says what was last posted on its own page."""
    with Noticeboard() as board:
        page, one = board.take(AppFacts("web"))
        _, other = board.take(AppFacts("db", deploying=True))
        assert (one.container(), one.deploying()) == ("web", False)
        assert (other.container(), other.deploying()) == ("db", True)
        board.post(page, AppFacts("web-2", deploying=True))
        assert (one.container(), one.deploying()) == ("web-2", True)
        assert other.container() == "db"


def test_no_such_application() -> None:
    """A missing application is reported, and may be added later."""
    with Noticeboard() as board:
        page, notice = board.take(AppFacts())
        assert notice.container() is None
        board.post(page, AppFacts("web"))
        assert notice.container() == "web"


def test_a_store_that_was_not_read_is_an_error() -> None:
    """A store that was not read is an error, not a missing application; deployments are unknown."""
    with Noticeboard() as board:
        _, notice = board.take(AppFacts(error="the disk is full"))
        with pytest.raises(StoreError, match="the disk is full"):
            notice.container()
        assert not notice.deploying()


def test_an_error_may_name_any_file() -> None:
    """An error may name a file whose name is not UTF-8."""
    with Noticeboard() as board:
        _, notice = board.take(AppFacts(error="/srv/\udce9/mist.db"))
        with pytest.raises(StoreError, match=r"/srv/.+/mist\.db"):
            notice.container()


def test_collectors_are_counted() -> None:
    """Earlier collectors also see the current number of collectors."""
    with Noticeboard() as board:
        first, notice = board.take(AppFacts("a"))
        assert notice.collectors() == 1
        board.take(AppFacts("b"))
        assert notice.collectors() == 2
        board.release(first)
        assert notice.collectors() == 1


def test_there_is_a_page_for_each_of_many() -> None:
    """Every collector has a page and sees changes, and free pages are used again."""
    with Noticeboard() as board:
        taken = [board.take(AppFacts(f"c-{number}")) for number in range(300)]
        for number, (page, notice) in enumerate(taken):
            assert notice.container() == f"c-{number}"
            board.post(page, AppFacts(f"d-{number}"))
        assert [n.container() for _, n in taken] == [f"d-{number}" for number in range(300)]
        assert {notice.collectors() for _, notice in taken} == {300}
        pages = {page for page, _ in taken}
        for page in pages:
            board.release(page)
        assert {board.take(AppFacts())[0] for _ in range(300)} <= pages | set(range(1, 321))


def test_a_page_says_nothing_of_its_last_collector() -> None:
    """A reused page says nothing of its previous collector."""
    with Noticeboard() as board:
        for name in ("a-long-name-of-a-container", "b", "c"):
            page, notice = board.take(AppFacts(name))
            assert notice.container() == name
            board.release(page)


@pytest.mark.parametrize("name", ["x" * 10_000, "\U0001f4a5" * 10_000])
def test_a_text_that_is_too_long_stays_on_its_page(name: str) -> None:
    """A text that is too long does not reach another collector's page."""
    with Noticeboard() as board:
        _, after = board.take(AppFacts("after"))
        page, notice = board.take(AppFacts(name, error=name))
        board.post(page, AppFacts(name, error=name))
        with pytest.raises(StoreError):
            notice.container()
        board.post(page, AppFacts(name))
        assert notice.container() == name[:400]
        assert after.container() == "after"


def test_a_page_that_is_being_written_says_what_it_said_before() -> None:
    """A record that is being written keeps its previous value, because its checksum is wrong."""
    with Noticeboard() as board:
        page, notice = board.take(AppFacts("web"))
        assert notice.container() == "web"
        board._memory[page * 4096 + 10] ^= 0xFF
        assert notice.container() == "web"
        board.post(page, AppFacts("db"))
        assert notice.container() == "db"


def test_reading_while_it_is_written_gives_whole_answers() -> None:
    """A concurrent reader never sees fields of two answers mixed."""
    answers = [AppFacts("a" * 300, deploying=True), AppFacts("b" * 10)]
    with Noticeboard() as board:
        page, notice = board.take(answers[0])
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for facts in answers:
                    board.post(page, facts)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert all(notice._read() in answers for _ in range(2_000))
        finally:
            stop.set()
            writer.join()


def answer(notice: Notice, pipe: Connection) -> None:
    """Run a collector that answers whenever it is asked."""
    while pipe.recv():
        before = set(sys.modules)
        facts = notice.container(), notice.deploying(), notice.collectors()
        # The fork server may have imported the library in another test.
        pipe.send((*facts, "sqlalchemy" in set(sys.modules) - before))


def test_a_collector_learns_of_a_change_at_once() -> None:
    """A collector sees a change at once from its own process, without SQLAlchemy or /dev/shm."""
    before = set(Path("/dev/shm").iterdir())
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    with Noticeboard() as board:
        page, notice = board.take(AppFacts("web"))
        child = context.Process(target=answer, args=(notice, theirs), daemon=True)
        child.start()
        theirs.close()
        try:
            ours.send(True)
            assert ours.poll(60)
            assert ours.recv() == ("web", False, 1, False)
            board.take(AppFacts("db"))
            board.post(page, AppFacts("web-2", deploying=True))
            ours.send(True)
            assert ours.recv() == ("web-2", True, 2, False)
            new = set(Path("/dev/shm").iterdir()) - before
            assert not [path for path in new if "mist" in path.name]
        finally:
            ours.close()
            child.join(60)
            assert child.exitcode is not None


def test_a_board_that_is_closed_leaves_no_descriptor() -> None:
    """A closed board leaves no descriptor open, neither its own nor those of its notices."""
    before = len(os.listdir("/proc/self/fd"))
    with Noticeboard() as board:
        for name in ("a", "b"):
            _, notice = board.take(AppFacts(name))
            assert notice.container() == name
    del notice
    assert len(os.listdir("/proc/self/fd")) == before
