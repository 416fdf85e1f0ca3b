"""``checking broker``: what the broker needs, made or written down."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest
from tests.services import Broker

from checking_core.errors import BrokerUnavailableError, ConfigurationError
from checking_server.commands import broker

Output = pytest.CaptureFixture[str]


async def test_set_up_tells_what_it_created_and_what_was_there(
    rabbitmq: Broker, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    prefix = f"command-{uuid4().hex[:8]}."
    monkeypatch.setenv("CHECKING_AMQP_URL", rabbitmq.url)
    monkeypatch.setenv("CHECKING_TOPOLOGY_PREFIX", prefix)
    await broker.setup()
    first = capsys.readouterr().out.splitlines()
    await broker.setup(backend=("splunk-prod",))
    second = capsys.readouterr().out.splitlines()
    assert f"Queue {prefix}caldera.checking.api.tasks.mock created." in first, "one of each configured backend"
    assert [line for line in first if not line.endswith(" created.")] == []
    assert [line for line in second if not line.endswith(" was there already.")] == [
        f"Queue {prefix}caldera.checking.api.tasks.splunk-prod created."
    ]


async def test_set_up_without_a_broker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="CHECKING_AMQP_URL"):
        await broker.setup()
    monkeypatch.setenv("CHECKING_AMQP_URL", "amqp://guest:s3cret@127.0.0.1:1/")
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1:1") as told:
        await broker.setup()
    assert "s3cret" not in str(told.value)


async def test_set_up_is_done_by_the_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_HOST", "127.0.0.1")
    monkeypatch.setenv("RABBITMQ_WORKER_PASS", "s3cret")
    with pytest.raises(ConfigurationError, match="RABBITMQ_ADMIN_PASS"):
        await broker.setup()


@pytest.mark.parametrize("name", ["Splunk", "a b", "", "#", "x" * 41])
async def test_a_backend_that_no_queue_can_be_named_after_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="--backend"):
        broker.definitions(backend=(name,), output=tmp_path / "definitions.json")
    assert not (tmp_path / "definitions.json").exists()


def test_definitions_are_for_their_owner_alone_and_name_who_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("RABBITMQ_WORKER_PASS", "s3cret")
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps({"mock": {"plugin": "mock"}}))
    monkeypatch.setenv("CHECKING_SHARED_BACKENDS", "mock")
    file = tmp_path / "definitions.json"
    file.touch(mode=0o644)
    broker.definitions(backend=("splunk-prod",), output=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = json.loads(file.read_text())
    assert [user["name"] for user in found["users"]] == ["checking_worker"]
    lanes = [queue["name"] for queue in found["queues"] if ".tasks." in queue["name"]]
    assert lanes == ["caldera.checking.api.tasks.splunk-prod"], "a shared backend has no lane"
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 6
    assert "left out user monitor_user: RABBITMQ_MONITOR_PASS is not set" in told.err


def test_definitions_go_to_stdout(capsys: Output) -> None:
    broker.definitions()
    assert json.loads(capsys.readouterr().out)["vhosts"] == [{"name": "/caldera_checking"}]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        broker.definitions(output=tmp_path / "missing" / "definitions.json")
