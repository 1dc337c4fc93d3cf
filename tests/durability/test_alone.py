"""The one process that does something."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from children import run
from forking import in_child

from payi_middleware import alone as module
from payi_middleware.alone import alone


def tried(path: Path) -> str:
    """Whether another process would be the one."""
    return run(
        "import sys; from pathlib import Path; from payi_middleware.alone import alone\n"
        "with alone(Path(sys.argv[1])) as mine: print(mine)",
        path,
    ).stdout.strip()


def test_one_at_a_time(tmp_path: Path) -> None:
    """As long as one is in its block no other is, in this process or elsewhere; then anybody may be."""
    path = tmp_path / "x.lock"
    with alone(path) as mine:
        with alone(path) as second:
            assert (mine, second) == (True, False)
        assert tried(path) == "False"
    assert tried(path) == "True"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_child_keeps_nothing_locked(tmp_path: Path) -> None:
    """A child that is forked within the block lets go of what is its parent's, and does not take it from it."""
    path = tmp_path / "x.lock"
    to_child, from_parent = os.pipe()
    with alone(path):
        assert in_child(lambda: tried(path)) == "False"
        pid = os.fork()
        if not pid:
            os.close(from_parent)
            os.read(to_child, 1)
            os._exit(0)
    assert tried(path) == "True"
    os.close(from_parent)
    os.waitpid(pid, 0)
    os.close(to_child)


def test_a_block_that_a_child_leaves(tmp_path: Path) -> None:
    """A child that was forked from within the block may leave it."""
    path = tmp_path / "x.lock"

    def leave() -> str:
        with alone(path) as mine:
            left = in_child(lambda: "left")
        return f"{mine} {left}"

    assert in_child(leave) == "True left"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file is never opened for ours."""
    (tmp_path / "x.lock").symlink_to(tmp_path / "theirs")

    with pytest.raises(OSError, match=r"x\.lock"), alone(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "theirs").exists()


def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is the one."""
    monkeypatch.setattr(module, "fcntl", None)
    with alone(tmp_path / "x.lock") as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []
