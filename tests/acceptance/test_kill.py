"""``kill -9`` in the middle of the work: after a new start everything is there once, and nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from .bundle import write_bundle
from .command import checking, eventually, running, served
from .database import count, rows

MESSAGES = 2000
QUICKLY = {"WORKER_JITTER_MIN": 0, "WORKER_JITTER_MAX": 0}
CLOSED = "detection_executions WHERE status = 'completed'"


def assert_each_has_exactly_one_result(folder: Path, executions: int) -> None:
    checks = """
        SELECT "check".outcome, "check".status, count(DISTINCT "check".execution_result_id), count(DISTINCT result.id),
               count(*)
        FROM detection_executions AS "check"
        LEFT JOIN detection_results AS result ON result.detection_execution_id = "check".id
        GROUP BY 1, 2
    """
    assert rows(folder, checks) == [("alerted", "completed", executions, executions, executions)]
    assert count(folder, "execution_results WHERE revision = 1") == executions
    assert count(folder, "dead_letters") == 0


@pytest.mark.parametrize(
    ("moment", "enough"),
    [("execution_results", 400), (CLOSED, 400)],
    ids=["while messages are accepted", "while checks are carried out"],
)
def test_a_killed_ingest_is_completed_by_the_same_command(tmp_path: Path, moment: str, enough: int) -> None:
    file = write_bundle(tmp_path, MESSAGES, mock={"answer": "alerted"})
    with running(tmp_path, "ingest", str(file), **QUICKLY) as process:
        eventually(lambda: count(tmp_path, moment) >= enough, f"{enough} of {moment}")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert count(tmp_path, moment) < MESSAGES, "it was killed too late to prove anything"
    done = checking(tmp_path, "ingest", str(file), **QUICKLY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith(f"0 rejected. Checks: {MESSAGES} closed.")
    assert_each_has_exactly_one_result(tmp_path, MESSAGES)


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    checks = 400
    file = write_bundle(tmp_path, checks, mock={"answer": "alerted"})
    with served(tmp_path, WORKER_JITTER_MIN=0.1, WORKER_JITTER_MAX=0.1) as server:
        assert checking(tmp_path, "ingest", str(file)).returncode == 0
        eventually(lambda: count(tmp_path, CLOSED) >= 20, "some checks are closed")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert count(tmp_path, CLOSED) < checks, "it was killed too late to prove anything"
    with served(tmp_path, **QUICKLY) as server:
        eventually(lambda: count(tmp_path, CLOSED) == checks, "every check is closed")
        assert server.ended_by(signal.SIGTERM) == 0
    assert_each_has_exactly_one_result(tmp_path, checks)
