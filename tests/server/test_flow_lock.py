"""Two processes never run the flow of one file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checking_core.errors import StoreUnavailableError
from checking_server.flow_lock import flow_lock

HOLDER = """
import sys
from checking_server.flow_lock import flow_lock
with flow_lock(sys.argv[1]) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'data' / 'checking.db'}"


@pytest.fixture
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the flow."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_second_holder_is_told_so_and_the_first_one_keeps_it(url: str) -> None:
    with flow_lock(url) as first:
        for _ in range(2):
            with flow_lock(url) as second:
                assert (first, second) == (True, False)
    with flow_lock(url) as after:
        assert after is True


def test_another_process_is_seen_until_it_is_killed(url: str, holder: subprocess.Popen[str]) -> None:
    with flow_lock(url) as while_it_runs:
        assert while_it_runs is False
    holder.kill()
    holder.wait(10)
    with flow_lock(url) as after:
        assert after is True


def test_one_file_is_one_file_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with (
        flow_lock(f"sqlite:///{tmp_path / 'checking.db'}") as first,
        flow_lock(f"sqlite+aiosqlite:///{tmp_path / 'link' / 'checking.db'}") as second,
        flow_lock(f"sqlite:///{tmp_path / 'other.db'}") as other,
    ):
        assert (first, second, other) == (True, False, True)


def test_all_it_leaves_is_an_empty_file_beside_the_database(url: str, tmp_path: Path) -> None:
    with flow_lock(url):
        pass
    assert [(path.name, path.stat().st_size) for path in (tmp_path / "data").iterdir()] == [("checking.db.flow", 0)]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:store?mode=memory&cache=shared&uri=true",
        "postgresql+asyncpg://checking@127.0.0.1/checking",
    ],
)
def test_what_is_no_file_needs_no_lock(url: str) -> None:
    with flow_lock(url) as first, flow_lock(url) as second:
        assert (first, second) == (True, True)


def test_a_file_that_cannot_be_written_is_the_store_s_outage(tmp_path: Path) -> None:
    (tmp_path / "checking.db.flow").mkdir()
    with (
        pytest.raises(StoreUnavailableError, match=r"checking\.db\.flow cannot be written"),
        flow_lock(f"sqlite:///{tmp_path / 'checking.db'}"),
    ):
        pass
