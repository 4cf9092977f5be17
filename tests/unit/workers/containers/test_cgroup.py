"""Tests of the files of cgroups 1 and 2, copied from real hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.containers import cgroup
from workers.containers.cgroup import CgroupMeter, NotLocal
from workers.containers.layouts import Layout, Version1, Version2

ID = "3a0d18a1ede0" * 5 + "3333"
HOST = 8 * 2**30
UNLIMITED = "9223372036854771712\n"

V1 = {
    "cpuacct/cpuacct.usage": "1234567890\n",
    "memory/memory.usage_in_bytes": "20480000\n",
    "memory/memory.limit_in_bytes": UNLIMITED,
    "memory/memory.stat": "cache 8192\ninactive_file 1\ntotal_inactive_file 480000\n",
    "pids/pids.current": "7\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": (
        "8:0 Read 4096\n8:0 Write 100\n8:0 Sync 4196\n8:0 Total 4196\n"
        "253:1 Read 1000\n253:1 Write 23\nTotal 5219\n"
    ),
}
V2 = {
    "cpu.stat": "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n",
    "memory.current": "20480000\n",
    "memory.max": "max\n",
    "memory.stat": "anon 20000000\nfile 480000\ninactive_file 480000\nactive_file 0\n",
    "pids.current": "7\n",
    "io.stat": (
        "8:0 rbytes=4096 wbytes=100 rios=1 wios=1 dbytes=5 dios=1\n253:1 rbytes=1000 wbytes=23\n"
    ),
}

Make = Callable[..., Layout]


@pytest.fixture
def version1(tmp_path: Path) -> Iterator[Make]:
    """Make the files of version 1; an argument replaces one, or leaves it out if it is None."""
    yield from _maker(tmp_path, V1, lambda: Version1(_folders(tmp_path), HOST))


@pytest.fixture
def version2(tmp_path: Path) -> Iterator[Make]:
    """Make the files of version 2."""
    yield from _maker(tmp_path, V2, lambda: Version2(tmp_path, HOST))


def _folders(root: Path) -> dict[str, Path]:
    return {name: root / name for name in ("cpuacct", "memory", "pids", "blkio")}


def _maker(root: Path, files: dict[str, str], open_: Callable[[], Layout]) -> Iterator[Make]:
    made: list[Layout] = []

    def make(**changes: str | None) -> Layout:
        for path, text in files.items():
            content = changes.get(path.rpartition("/")[2].replace(".", "_"), text)
            if content is not None:
                (root / path).parent.mkdir(exist_ok=True)
                (root / path).write_text(content)
        made.append(open_())
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_version_1(version1: Make) -> None:
    """Every figure comes from its file; memory has no limit beyond the host's."""
    assert version1().read()[1:] == (1_234_567_890, 20_000_000, HOST, 0, 0, 5096, 123, 7)


def test_version_2(version2: Make) -> None:
    """The same figures from the files of version 2."""
    assert version2().read()[1:] == (1_234_567_000, 20_000_000, HOST, 0, 0, 5096, 123, 7)


def test_limits(version1: Make, version2: Make) -> None:
    """A limit of the container's own counts."""
    assert version1(memory_limit_in_bytes="4096000\n").read().memory_limit == 4_096_000
    assert version2(memory_max="4096000\n").read().memory_limit == 4_096_000


def test_cache_that_is_larger_than_the_usage(version1: Make, version2: Make) -> None:
    """The two files are read one after the other, so the difference may make no sense."""
    assert version1(memory_usage_in_bytes="10\n").read().memory_used == 10
    assert version2(memory_current="10\n").read().memory_used == 10


def test_controllers_that_the_kernel_has_not(version1: Make, version2: Make) -> None:
    """What nothing counts is 0; a Raspberry Pi, for one, does not count memory."""
    first = version1(
        **dict.fromkeys(path.rpartition("/")[2].replace(".", "_") for path in list(V1)[1:])
    )
    second = version2(**dict.fromkeys(path.replace(".", "_") for path in list(V2)[1:]))
    for layout in (first, second):
        reading = layout.read()
        assert reading.cpu > 0
        assert set(reading[2:]) == {0}


def test_files_that_are_needed(version1: Make) -> None:
    """Without the processor time the engine has to be asked; no descriptor stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        version1(cpuacct_usage=None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_are_read_again(version2: Make, tmp_path: Path) -> None:
    """Open files show the present figures."""
    layout = version2()
    layout.read()
    (tmp_path / "cpu.stat").write_text("usage_usec 2000000\n")
    assert layout.read().cpu == 2_000_000_000


MOUNTS_V1 = """\
25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
29 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
MOUNTS_V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_folders_of_version_1() -> None:
    """Each controller has its own hierarchy; one that does not name the container is left out."""
    text = f"4:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n9:pids:/\n0::/docker/{ID}\n"
    base = Path("/sys/fs/cgroup")
    assert cgroup.folders(ID, text, MOUNTS_V1) == {
        "memory": base / "memory/docker" / ID,
        "cpu": base / "cpu,cpuacct/docker" / ID,
        "cpuacct": base / "cpu,cpuacct/docker" / ID,
        "": base / "unified/docker" / ID,
    }


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (f"/system.slice/docker-{ID}.scope", f"system.slice/docker-{ID}.scope"),
        # A container with systemd inside moves its first process.
        (f"/system.slice/docker-{ID}.scope/init.scope", f"system.slice/docker-{ID}.scope"),
        (
            f"/user.slice/user-7.slice/docker-{ID}.scope",
            f"user.slice/user-7.slice/docker-{ID}.scope",
        ),
    ],
)
def test_folders_of_version_2(path: str, folder: str) -> None:
    """The container's own cgroup counts, wherever its process is."""
    found = cgroup.folders(ID, f"0::{path}\n", MOUNTS_V2)
    assert found == {"": Path("/sys/fs/cgroup") / folder}


def test_mount_that_does_not_begin_at_the_root() -> None:
    """In a container, the hierarchy may be mounted from below the host's root."""
    mounts = "30 25 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    found = cgroup.folders(ID, f"0::/pod/docker/{ID}\n", mounts)
    assert found == {"": Path("/sys/fs/cgroup/docker") / ID}


def test_process_of_another_host() -> None:
    """With an engine elsewhere, a process here with the same number has nothing to do with it."""
    assert cgroup.folders(ID, "0::/user.slice\n", MOUNTS_V2) == {}
    with pytest.raises(NotLocal):
        CgroupMeter(ID, os.getpid(), host_network=False)


@pytest.mark.parametrize("pid", [0, 2**22 + 1])
def test_process_that_does_not_exist(pid: int) -> None:
    """The same holds for one that has ended."""
    with pytest.raises(NotLocal):
        CgroupMeter(ID, pid, host_network=False)


def test_network() -> None:
    """All interfaces count but the loopback."""
    text = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:  999      10    0    0    0     0          0         0     999      10    0    0
  eth0: 1500      10    0    0    0     0          0         0     700      10    0    0
  eth1:20 1 0 0 0 0 0 0 3 1 0 0 0 0 0 0
"""
    assert cgroup.network(text) == (1520, 703)
    assert cgroup.network(b"") == (0, 0)
