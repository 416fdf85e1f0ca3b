"""``checking serve`` as a process: ready, at work, and gone when told so."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.services import PrivatePostgres
from tests.throw_away import install_plugin

from checking_core.storage import migrate

from .command import PATIENCE, checking, eventually, served

OPERATION = "10000000-0000-4000-8000-000000000001"


@pytest.fixture
def message(tmp_path: Path) -> Path:
    return _message(tmp_path, {"answer": "alerted"})


def _message(folder: Path, reply: dict[str, Any], backend: str = "mock") -> Path:
    """A file with one execution whose one check gets this reply from the mock backend."""
    config = {"alert": {"rule": "any"}, "settle": 0, "mock": reply}
    link = {
        "message_type": "link_result",
        "timestamp": "2026-01-15T09:00:03Z",
        "operation": {"operation_id": OPERATION, "name": "op", "state": "finished"},
        "execution": {
            "link_id": "20000000-0000-4000-8000-000000000001",
            "agent_host": "ws01",
            "agent_paw": "paw",
            "command": "whoami",
            "status": 0,
            "link_state": "SUCCESS",
            "collect": "2026-01-15T09:00:00Z",
            "finish": "2026-01-15T09:00:02Z",
            "detections": [{"detection_type": "api", "detection_platform": backend, "detection_config": config}],
        },
    }
    file = folder / "message.jsonl"
    file.write_text(json.dumps(link) + "\n")
    return file


def test_a_server_is_ready_lists_operations_and_ends_when_told(tmp_path: Path, message: Path) -> None:
    assert checking(tmp_path, "ingest", str(message)).returncode == 0
    with served(tmp_path) as server:
        assert server.json("/health/ready")["status"] == "up"
        assert [item["operation_id"] for item in server.json("/operations")["items"]] == [OPERATION]
        assert "mock" in [plugin["name"] for plugin in server.json("/health/plugins")["plugins"]]
        assert server.ended_by(signal.SIGTERM) == 0
        assert not server.listens()


def test_a_server_carries_out_what_another_process_ingests(tmp_path: Path, message: Path) -> None:
    with served(tmp_path) as server:
        done = checking(tmp_path, "ingest", str(message))
        assert done.returncode == 0, done.stderr
        eventually(lambda: "gathered" in server.log, "the server gathers the result")
        assert server.json("/operations")["total"] == 1
        assert server.ended_by(signal.SIGTERM) == 0


def test_the_first_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert server.ended_by(signal.SIGINT) == 0
        assert "stopped" in server.log
        assert "Traceback" not in server.log


def test_the_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    message = _message(tmp_path, {"answer": "hang"})
    with served(tmp_path, DRAIN_TIMEOUT=600) as server:
        assert checking(tmp_path, "ingest", str(message)).returncode == 0
        eventually(lambda: "dispatched" in server.log, "the look that hangs has begun")
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: not server.listens(), "the first one is obeyed")
        assert server.process.poll() is None
        assert server.ended_by(signal.SIGINT) == 130


def test_a_look_that_hangs_does_not_hold_the_server_beyond_its_drain_time(tmp_path: Path) -> None:
    message = _message(tmp_path, {"answer": "hang"})
    with served(tmp_path, DRAIN_TIMEOUT=0.5) as server:
        assert checking(tmp_path, "ingest", str(message)).returncode == 0
        eventually(lambda: "dispatched" in server.log, "the look that hangs has begun")
        assert server.ended_by(signal.SIGTERM) == 0


BLOCKING_PLUGIN = """
import time
from checking_core import Ask, BaseWorker, hookimpl
class Blocking(BaseWorker):
    platform = "blocking"
    answers = frozenset(Ask)
    async def detect(self, task):
        print("blocked", flush=True)
        time.sleep(600)
@hookimpl
def checking_detectors():
    return [Blocking]
"""


def test_a_plugin_that_blocks_everything_does_not_hold_the_server_for_ever(tmp_path: Path) -> None:
    install_plugin(tmp_path, "blocking", BLOCKING_PLUGIN)
    message = _message(tmp_path, {}, backend="blocking")
    with served(tmp_path, plugins=tmp_path, DRAIN_TIMEOUT=0) as server:
        assert checking(tmp_path, "ingest", str(message)).returncode == 0
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == "blocked\n"
        assert server.ended_by(signal.SIGTERM) == 0
        assert "stop_cut_short" in server.log


def test_an_idle_connection_does_not_hold_the_server(tmp_path: Path) -> None:
    with served(tmp_path, DRAIN_TIMEOUT=600) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"GET /api/v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
            assert server.ended_by(signal.SIGTERM) == 0


def test_it_answers_to_the_name_that_it_was_given(tmp_path: Path) -> None:
    with served(tmp_path, API_HOST="127.8.9.10") as server:
        assert urlsplit(server.url).hostname == "127.8.9.10"
        assert server.get("/health/live").status_code == 200


def test_a_killed_server_can_be_started_again(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.process.kill()
    with served(tmp_path) as server:
        assert server.get("/health/ready").status_code == 200


def test_a_port_in_use_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = checking(tmp_path, "serve", "--port", str(port))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "--port" in line


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        done = checking(tmp_path, "serve", "--port", "0")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert str(tmp_path / "checking.db") in line
        assert "CHECKING_DATABASE_URL" in line
        assert first.get("/health/ready").status_code == 200


def test_an_address_beyond_this_machine_is_refused_without_access_control(tmp_path: Path) -> None:
    done = checking(tmp_path, "serve", "--no-auth", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "leave --no-auth out" in done.stderr


def test_a_server_asks_for_a_key_unless_told_otherwise_and_says_which_it_does(tmp_path: Path) -> None:
    with served(tmp_path, access=()) as server:
        assert "no_api_key" in server.log
        assert server.get("/health/ready").status_code == 200
        assert server.get("/operations").status_code == 401
        made = checking(tmp_path, "keys", "create", "me", "--role", "viewer")
        assert made.returncode == 0, made.stderr
        header = {"X-API-Key": made.stdout.strip()}
        assert httpx.get(f"{server.url}/api/v1/operations", headers=header, timeout=PATIENCE).status_code == 200
        assert "no_access_control" not in server.log
        assert made.stdout.strip() not in server.log
    with served(tmp_path) as server:
        assert server.get("/operations").status_code == 200
        assert "no_access_control" in server.log


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    done = checking(tmp_path, "serve", f"--port={port}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_at_the_start_is_one_line_and_code_3(tmp_path: Path) -> None:
    done = checking(tmp_path, "serve", "--port", "0", DATABASE_URL="postgresql://checking:s3cret@127.0.0.1:1/nothing")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "the database does not answer" in line
    assert "s3cret" not in line


BROKER_AWAY = """
from checking_core.errors import BrokerUnavailableError
from checking_core.transport.memory import MemoryTransport
async def subscribe(self, queue, *, prefetch):
    raise BrokerUnavailableError("the broker does not answer")
MemoryTransport.subscribe = subscribe
"""


def test_a_part_that_can_not_start_is_one_line_and_code_3(tmp_path: Path) -> None:
    install_plugin(tmp_path, "away", BROKER_AWAY)
    done = checking(tmp_path, "serve", "--port", "0", plugins=tmp_path, LOG_LEVEL="ERROR")
    assert (done.returncode, done.stderr) == (3, "checking: the broker does not answer\n")


def test_an_old_schema_on_postgresql_names_the_command(tmp_path: Path, private_postgres: PrivatePostgres) -> None:
    done = checking(tmp_path, "serve", "--port", "0", DATABASE_URL=private_postgres.url)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("run: checking db upgrade")


def test_a_postgresql_that_goes_and_comes_back_ends_nothing(
    tmp_path: Path, private_postgres: PrivatePostgres, message: Path
) -> None:
    asyncio.run(migrate.upgrade(private_postgres.url))
    with served(tmp_path, DATABASE_URL=private_postgres.url) as server:
        assert server.get("/health/ready").status_code == 200
        private_postgres.kill()
        away = server.get("/health/ready")
        assert away.status_code == 503
        assert away.json()["db"]["status"] == "down"
        assert server.get("/operations").status_code == 503
        assert server.get("/health/live").status_code == 200
        private_postgres.start()
        eventually(lambda: server.get("/health/ready").status_code == 200, "ready again by itself")
        assert checking(tmp_path, "ingest", str(message), DATABASE_URL=private_postgres.url).returncode == 0
        assert server.json("/operations")["total"] == 1
        assert server.ended_by(signal.SIGTERM) == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize(("proxies", "address"), [("127.0.0.1", "203.0.113.9"), ("10.0.0.1", "127.0.0.1")])
def test_a_proxy_that_is_named_tells_whose_request_it_is_and_nobody_else_does(
    tmp_path: Path, proxies: str, address: str
) -> None:
    with served(tmp_path, API_PROXIES=proxies) as server:
        told = {"operation_id": "a", "name": "a"}
        url = f"{server.url}/api/v1/operations"
        httpx.post(url, json=told, headers={"X-Forwarded-For": "203.0.113.9"}, timeout=PATIENCE).raise_for_status()
        (entry,) = server.json("/audit")["items"]
    assert entry["address"] == address
