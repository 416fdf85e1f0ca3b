"""The parts as processes of their own: each with the rights of its own user, killed and multiplied at any moment."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.services import Broker, fresh_database

from .bundle import message
from .command import PATIENCE, checking, eventually, served
from .installation import ROLES, Installation, Part

PARTS = ("accept", "dispatch", "gather", "expire")
ALERTED = {"mock": {"answer": "alerted"}}
ONE_ATTEMPT = {"QUEUE_WAIT": 0, "WORKER_MAX_RETRIES": 0}
"""So that a lease is as long as one attempt may take."""
CLOSED = "detection_executions WHERE completed_at IS NOT NULL"


@pytest.fixture
def installed(tmp_path: Path, rabbitmq: Broker, postgres_server_url: str) -> Iterator[Installation]:
    with fresh_database(postgres_server_url) as database:
        yield Installation(tmp_path, rabbitmq, database)


def started(stack: ExitStack, installed: Installation, *names: str, **settings: object) -> list[Part]:
    return [stack.enter_context(installed.serving(name, **settings)) for name in names]


def test_two_hundred_messages_pass_through_five_processes_and_two_workers(installed: Installation) -> None:
    """Every message is sent twice, some can not be read, and no process has a right that it does not need."""
    with ExitStack() as stack:
        parts = started(stack, installed, *PARTS, "api")
        parts += [stack.enter_context(installed.working()) for _ in range(2)]
        good = [message(number, **ALERTED) for number in range(200)]
        poison = [json.dumps({"message_type": "link_result", "execution": number}) for number in range(20)]
        asyncio.run(installed.publish([*good, *poison, *good]))
        eventually(lambda: installed.count(CLOSED) == 200, "all checks are closed")
        eventually(lambda: installed.count("dead_letters") == 20, "what can not be read is a dead letter")
        api = parts[len(PARTS)].served
        assert api.json("/operations")["total"] == 1
        queues = {queue["name"]: queue for queue in api.json("/health/broker")["queues"]}
        assert queues["caldera.checking.api.tasks.mock"]["consumers"] == 2
        assert api.json("/health/ready")["status"] == "up"
        assert [part.ended_by(signal.SIGTERM) for part in parts] == [0] * len(parts)
        assert [part.name for part in parts if "Traceback" in part.log] == []
    assert installed.count("execution_results") == installed.count("detection_results") == 200
    assert installed.rows("SELECT DISTINCT outcome FROM detection_results") == [{"outcome": "alerted"}]
    (reason,) = installed.rows("SELECT DISTINCT reason FROM dead_letters")
    assert "execution" in reason["reason"]


def test_every_part_may_be_killed_while_messages_pass(installed: Installation) -> None:
    asked = {**ALERTED, "timeout": 2}
    with ExitStack() as stack:
        parts = started(stack, installed, *PARTS, *PARTS, **ONE_ATTEMPT)
        for _ in range(2):
            parts.append(stack.enter_context(installed.working(**ONE_ATTEMPT)))
        for number, part in enumerate(parts[::2]):
            asyncio.run(installed.publish([message(100 * number + n, **asked) for n in range(60)]))
            part.process.kill()
        parts += started(stack, installed, *PARTS, **ONE_ATTEMPT)
        eventually(lambda: installed.count(CLOSED) == 300, "all checks are closed")
    assert installed.rows("SELECT DISTINCT outcome FROM detection_executions") == [{"outcome": "alerted"}]
    assert installed.count("detection_results") == installed.count("execution_results") == 300


def test_accept_wakes_dispatch_in_another_process_which_shows_what_it_sent(
    installed: Installation, unused_tcp_port: int
) -> None:
    """Whoever looks for due work once a minute only is too late for this test."""
    with ExitStack() as stack:
        started(stack, installed, "accept", POLL_INTERVAL=60)
        started(stack, installed, "dispatch,gather", POLL_INTERVAL=60, METRICS_PORT=unused_tcp_port)
        stack.enter_context(installed.working())
        for number in range(3):
            asyncio.run(installed.publish([message(number, **ALERTED)]))
            eventually(lambda: installed.count(CLOSED) == number + 1, "the check is closed")  # noqa: B023
        done = installed.command("ingest", "-", users=(), given=message(7, **ALERTED))
        assert "carries the checks out" in done.stdout, done.stderr
        eventually(lambda: installed.count(CLOSED) == 4, "what a command accepts is carried out too")
        shown = httpx.get(f"http://127.0.0.1:{unused_tcp_port}/metrics", timeout=PATIENCE).text
    assert 'checking_tasks_sent_total{backend="mock"} 4.0\n' in shown
    assert 'checking_looks_total{backend="mock",outcome="alerted",reason="matched_alert"} 4.0\n' in shown


def test_a_backend_that_nobody_serves_is_unsupported_and_a_late_worker_still_answers(installed: Installation) -> None:
    impatient = {**ONE_ATTEMPT, "PATIENCE": 1}
    with ExitStack() as stack:
        started(stack, installed, "accept,dispatch,gather,expire", **impatient)
        asyncio.run(installed.publish([message(number, **ALERTED, timeout=1) for number in range(250)]))
        eventually(
            lambda: installed.count("detection_results") == 250, "all checks are given up, also beyond the limit"
        )
        assert installed.rows("SELECT DISTINCT reason FROM detection_results") == [{"reason": "unsupported_platform"}]
        stack.enter_context(installed.working())
        alerted = "detection_executions WHERE outcome = 'alerted'"
        eventually(lambda: installed.count(alerted) == 250, "the genuine answers replace that")
    assert installed.count("detection_results") == 500


def test_a_dead_letter_is_replayed_by_the_admin_once_what_was_wrong_is_right(installed: Installation) -> None:
    with ExitStack() as stack:
        started(stack, installed, "accept,gather")
        asyncio.run(installed.publish(["no JSON"]))
        eventually(lambda: installed.count("dead_letters") == 1, "the message is a dead letter")
        (letter,) = installed.rows("SELECT id FROM dead_letters")
        assert installed.command("dead-letters", "replay", str(letter["id"])).returncode == 2, "nobody told a password"
        done = installed.command("dead-letters", "replay", "--all", users=("admin",))
        assert (done.returncode, done.stdout) == (0, "1 dead letters replayed.\n"), done.stderr
        again = "dead_letters WHERE headers->>'x-replay-of' IS NOT NULL"
        eventually(lambda: installed.count(again) == 1, "what is still wrong comes back, as a new one")
    assert installed.count("dead_letters") == 1


def test_set_up_finds_everything_that_was_imported(installed: Installation) -> None:
    done = installed.command("broker", "setup", users=ROLES)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.endswith("was there already.")] == []


@pytest.mark.parametrize("role", PARTS)
def test_a_part_needs_the_password_of_its_own_user_and_names_it(installed: Installation, role: str) -> None:
    done = installed.command("serve", "--role", role)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("checking: RABBITMQ_")
    assert "_PASS: is not set" in line


def test_an_api_reads_whatever_becomes_of_the_broker(installed: Installation, rabbitmq: Broker) -> None:
    rabbitmq.kill()
    try:
        with installed.serving("api") as part:
            health = part.served.get("/health")
            assert (health.status_code, health.json()["status"]) == (200, "degraded")
            assert part.served.get("/health/ready").status_code == 200
            assert part.served.json("/operations")["total"] == 0
            rabbitmq.start()
            eventually(lambda: part.served.json("/health")["status"] == "up", "it sees the broker again")
    finally:
        rabbitmq.restart()


def test_an_api_without_any_broker_reads(tmp_path: Path) -> None:
    assert checking(tmp_path, "db", "upgrade").returncode == 0
    with served(tmp_path, "--role", "api") as first, served(tmp_path, "--role", "api") as second:
        for server in (first, second):
            assert server.json("/health/ready")["status"] == "up"
            assert server.json("/operations")["total"] == 0


@pytest.mark.parametrize("roles", ["accept", "accept,dispatch,gather,expire", "api,worker"])
def test_without_a_broker_nothing_runs_apart(tmp_path: Path, roles: str) -> None:
    done = checking(tmp_path, "serve", "--role", roles)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "CHECKING_AMQP_URL" in line


def test_an_unknown_role_is_told_with_the_nearest(tmp_path: Path) -> None:
    done = checking(tmp_path, "serve", "--role", "api,expires")
    assert done.returncode == 2
    assert "expires is none; did you mean expire?" in done.stderr


def test_sqlite_carries_one_process_whatever_the_broker(tmp_path: Path, rabbitmq: Broker) -> None:
    names = {"AMQP_URL": rabbitmq.url, "TOPOLOGY_PREFIX": f"sqlite-{datetime.now(UTC):%f}."}
    with served(tmp_path, **names) as first:
        done = checking(tmp_path, "serve", "--role", "accept", **names)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "Only on PostgreSQL several processes share one" in line
        assert first.json("/health/ready")["status"] == "up"
