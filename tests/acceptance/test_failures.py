"""What goes wrong around the command: each time one line with the remedy, an exit code, and nothing lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.services import PrivatePostgres

from checking_core.storage import migrate

from .bundle import message, write_bundle, write_scenario
from .command import CHECKING, PATIENCE, checking, environment, eventually, running
from .database import count

DISPATCHED = "detection_executions WHERE status = 'dispatched'"
CLOSED = "detection_executions WHERE status = 'completed'"
CLOSED_THERE = f"SELECT count(*) FROM checking_engine.{CLOSED}"


def the_line(told: str) -> str:
    """The one line that a person reads."""
    (line,) = told.splitlines()
    assert line.startswith("checking: ")
    return line


# --- interrupted -------------------------------------------------------------------------------------------


def test_ctrl_c_ends_an_ingest_and_the_same_command_completes_it(tmp_path: Path) -> None:
    file = write_bundle(tmp_path, 30)
    with running(tmp_path, "ingest", str(file), MOCK_SCENARIO=write_scenario(tmp_path, "hang")) as process:
        eventually(lambda: count(tmp_path, DISPATCHED) == 30, "the looks that hang have begun")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 130
    done = checking(tmp_path, "ingest", str(file), MOCK_SCENARIO=write_scenario(tmp_path, "alerted"))
    assert done.stdout.startswith("Messages: 0 new, 0 revised, 30 repeated, 0 rejected. Checks: 30 closed.")


def test_messages_of_an_open_pipe_are_checked_as_they_come_and_ctrl_c_is_heard(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path, "alerted")
    with running(tmp_path, "ingest", "-", MOCK_SCENARIO=scenario) as process:
        assert process.stdin is not None
        for number in (1, 2):
            process.stdin.write(message(number))
            process.stdin.flush()
            eventually(lambda number=number: count(tmp_path, CLOSED) == number, f"message {number} is checked")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_ctrl_c_ends_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with running(tmp_path, "demo") as process:
        eventually(lambda: list(temporary.glob("*/demo.db")) != [], "the demo has begun")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 130
    assert list(temporary.iterdir()) == []


# --- a reader that has read enough -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database holds an operation."""
    folder = tmp_path_factory.mktemp("stored")
    assert checking(folder, "ingest", "-", given=message(mock={"answer": "alerted"})).returncode == 0
    return folder


@pytest.mark.parametrize("arguments", ["report latest", "report latest --format json", "config show"])
def test_a_reader_that_leaves_early_is_no_error(stored: Path, arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            [CHECKING, *arguments.split()],
            cwd=stored,
            env=environment(stored, {}),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stderr) == (0, "")


# --- a database that is no database ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ("ingest feed.jsonl", "folder"),
        ("report", "folder"),
        ("ingest feed.jsonl", "file/checking.db"),
        ("ingest feed.jsonl", "/proc/checking.db"),  # not even root may write there
    ],
)
def test_a_file_that_cannot_be_opened_is_one_line_and_code_3(tmp_path: Path, arguments: str, place: str) -> None:
    (tmp_path / "feed.jsonl").write_text(message())
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    done = checking(tmp_path, *arguments.split(), DATABASE_URL=f"sqlite:///{place}")
    assert done.returncode == 3
    line = the_line(done.stderr)
    assert place in line
    assert "correct CHECKING_DATABASE_URL, or who may write there" in line


# --- a server that does not let us in, or is gone ----------------------------------------------------------


def _asked(url: str, query: str) -> Any:
    """What PostgreSQL answers: one value, or nothing."""

    async def work() -> Any:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(work())


def _ask_for_a_password(url: str) -> None:
    """With its next start the server asks the role ``guest`` for its password."""
    rules = "('host all guest 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust')"
    _asked(url, "CREATE ROLE guest LOGIN PASSWORD 'right'")
    _asked(url, f"COPY (VALUES {rules}) TO '{_asked(url, 'SHOW hba_file')}'")
    _asked(url, "CHECKPOINT")


def test_a_wrong_password_and_a_stopped_server_are_one_line_and_code_3(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    file = write_bundle(tmp_path, 1)
    _ask_for_a_password(private_postgres.url)
    private_postgres.kill()
    url = private_postgres.url.replace("checking@", "guest:wr0ng@")
    stopped = checking(tmp_path, "ingest", str(file), DATABASE_URL=url)
    private_postgres.start()
    refused = checking(tmp_path, "ingest", str(file), DATABASE_URL=url)
    for done, problem, remedy in (
        (stopped, "Connect call failed", "; start it, or correct CHECKING_DATABASE_URL"),
        (refused, "the database refuses: password authentication failed", '"guest"; correct CHECKING_DATABASE_URL'),
    ):
        assert done.returncode == 3
        line = the_line(done.stderr)
        assert problem in line
        assert line.endswith(remedy)
        assert "wr0ng" not in line


def test_a_server_that_goes_during_an_ingest_ends_it_and_the_same_command_completes_it(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    url = private_postgres.url
    asyncio.run(migrate.upgrade(url))
    first, second = (message(number, mock={"answer": "alerted"}) for number in (1, 2))
    with running(tmp_path, "ingest", "-", DATABASE_URL=url, LOG_LEVEL="ERROR") as process:
        assert process.stdin is not None
        process.stdin.write(first)
        process.stdin.flush()
        eventually(lambda: _asked(url, CLOSED_THERE) == 1, "the first message is checked")
        _asked(url, "CHECKPOINT")  # this server does not wait for its disk, and would forget the last commits
        private_postgres.kill()
        told, errors = process.communicate(second, timeout=PATIENCE)
    assert (process.returncode, told) == (3, "")
    line = the_line(errors)
    assert "the database does not answer" in line
    assert line.endswith("Messages: 1 new, 0 revised, 0 repeated, 0 rejected. Run it again: nothing is counted twice")
    private_postgres.start()
    done = checking(tmp_path, "ingest", "-", given=first + second, DATABASE_URL=url)
    assert done.stdout.startswith("Messages: 1 new, 0 revised, 1 repeated, 0 rejected. Checks: 2 closed.")
