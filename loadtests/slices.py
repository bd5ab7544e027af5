"""Slices of a core: cgroups that give each process of a proxy the same CPU time, and no more.

What `docker run --cpus` and the CPU limits of Kubernetes do. With them a machine of two cores can show what more
processes gain, although load and origin need cores as well: one process gets half a core, two get half a core each, and
enough is always left for the others. Linux, as root; knows both versions of cgroups.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

CGROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # the usual one: with a tenth of it caches are cold so often that a request costs a third more
LEAVE_LIMIT = 100  # looks at a group that is not empty yet, 10 ms apart


class SliceError(Exception):
    """There are no cgroups here that we may make; the text says why."""


def slice_files(root: Path, name: str) -> tuple[Path, dict[str, str]]:
    """The directory of a new group under `root`, and what bounds its CPU time: file name -> text, with {quota} in it.

    Raises SliceError if `root` has no CPU controller of either version.
    """
    if (root / "cpu" / "cpu.cfs_quota_us").exists():
        return root / "cpu" / name, {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": "{quota}"}
    controllers = root / "cgroup.controllers"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        return root / name, {"cpu.max": f"{{quota}} {PERIOD_US}"}
    raise SliceError(f"no CPU controller under {root}")


@contextlib.contextmanager
def sliced(groups: Sequence[Sequence[int]], share: float, root: Path = CGROUPS) -> Iterator[None]:
    """Inside the block, the processes of each of `groups` have `share` of a core together.

    Raises SliceError where that cannot be had.
    """
    with contextlib.ExitStack() as stack:
        for index, pids in enumerate(groups):
            directory, files = slice_files(root, f"loadtests-{os.getpid()}-{index}")
            try:
                _make(directory, root)
                stack.callback(_remove, directory)
                for name, text in files.items():
                    (directory / name).write_text(text.format(quota=int(share * PERIOD_US)))
                for pid in pids:
                    (directory / "cgroup.procs").write_text(str(pid))
            except OSError as error:
                raise SliceError(f"{directory}: {error.strerror} (slices of a core want root)") from error
        yield


def _make(directory: Path, root: Path) -> None:
    if directory.parent == root:  # version 2: a group's files are there if its parent hands the controller down
        (root / "cgroup.subtree_control").write_text("+cpu")
    directory.mkdir()


def _remove(directory: Path) -> None:
    """Let the processes go where they came from, and take the group away."""
    home = directory.parent / "cgroup.procs"
    for _ in range(LEAVE_LIMIT):
        for pid in (directory / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                home.write_text(pid)
        try:
            directory.rmdir()
        except OSError:
            sleep(0.01)  # a process that ends is counted until it is reaped
        else:
            return
