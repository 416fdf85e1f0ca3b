"""A recorded operation and every product at once, each a process: over HTTP, through broker, workers and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fakes import Fake
from tests.services import Broker, fresh_database

from .command import eventually
from .installation import Installation, Part
from .products import PRODUCTS, executions_of, expectations

TIMES = 10
"""How many times as fast as recorded the operation passes."""
DEADLINE = 8.0
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_DENIED = {"none", "no_alert"}
CLOSED = "detection_executions WHERE completed_at IS NOT NULL"
EACH = "SELECT expectation_id AS id, outcome FROM detection_executions"


class Field:
    """An installation, the fakes it asks, and what was carried out."""

    def __init__(self, folder: Path, installed: Installation, fakes: dict[str, Fake], recorded: str) -> None:
        self.installed = installed
        self.fakes = fakes
        self._recorded = recorded
        (folder / "expectations.json").write_text(json.dumps(expectations(DEADLINE)))

    @contextmanager
    def at_work(self) -> Iterator[Part]:
        """Every part of it, and then what was carried out; gives the worker."""
        with ExitStack() as stack:
            stack.enter_context(self.installed.serving("accept,dispatch,gather,expire"))
            worker = stack.enter_context(self.installed.working())
            messages = _as_if_now(self._recorded)
            for name, fake in self.fakes.items():
                fake.tell(PRODUCTS[name].records(executions_of(messages)))
            asyncio.run(self.installed.publish(messages))
            eventually(lambda: self.installed.count("detection_executions") >= self.checks, "all is accepted")
            yield worker

    @property
    def checks(self) -> int:
        return 7 * len(self.fakes)

    def verdicts(self) -> dict[str, set[str]]:
        """The outcomes of each expectation."""
        found: dict[str, set[str]] = {}
        for row in self.installed.rows(EACH):
            found.setdefault(row["id"], set()).add(row["outcome"])
        return found

    def closed(self) -> bool:
        return self.installed.count(CLOSED) == self.checks


@pytest.fixture
def field(
    request: pytest.FixtureRequest, tmp_path: Path, rabbitmq: Broker, postgres_server_url: str, shared_data: Path
) -> Iterator[Field]:
    """With so many seconds of patience, 30 unless a test says otherwise."""
    recorded = (shared_data / "caldera" / "operation_A" / "plugin_messages.jsonl").read_text()
    with ExitStack() as stack:
        fakes = {name: stack.enter_context(Fake(product.app)) for name, product in PRODUCTS.items()}
        database = stack.enter_context(fresh_database(postgres_server_url))
        told = {
            f"{name.upper()}_{key}": value
            for name, fake in fakes.items()
            for key, value in PRODUCTS[name].settings(fake.url).items()
        }
        backends = {name: {"plugin": name, "env_prefix": f"CHECKING_{name.upper()}_"} for name in fakes}
        installed = Installation(
            tmp_path,
            rabbitmq,
            database,
            BACKENDS=json.dumps(backends),
            EXPECTATIONS="expectations.json",
            HINTS="never",
            WORKER_JITTER_MIN=0,
            WORKER_JITTER_MAX=0,
            WORKER_MAX_RETRIES=0,
            PATIENCE=getattr(request, "param", 30),
            **told,
        )
        yield Field(tmp_path, installed, fakes, recorded)


def test_every_product_is_asked_at_once_and_each_verdict_is_right(field: Field) -> None:
    with field.at_work():
        eventually(field.closed, "all checks are closed")
    assert field.verdicts() == _wanted(field)
    assert all(fake.seen() for fake in field.fakes.values())


@pytest.mark.parametrize("field", [300], indirect=True, ids=["patient"])  # a product that was away is spared for 30
def test_products_that_are_killed_and_come_back_change_no_verdict(field: Field) -> None:
    for fake in field.fakes.values():
        fake.kill()
    with field.at_work() as worker:
        eventually(lambda: _outages(worker) == field.fakes.keys(), "each product was missed")
        assert not _denials(field)
        _each(field, Fake.start)
        eventually(lambda: "alerted" in _outcomes(field), "one of them answers")
        _each(field, Fake.restart)
        eventually(field.closed, "all checks are closed")
    assert field.verdicts() == _wanted(field)


def test_a_product_that_stays_away_denies_nothing(field: Field) -> None:
    with field.at_work():
        eventually(lambda: _outcomes(field)["alerted"] == len(field.fakes), "each product has answered")
        for fake in field.fakes.values():
            fake.kill()
        eventually(field.closed, "all checks are closed")
    assert not _denials(field)
    reasons = field.installed.rows(
        "SELECT DISTINCT reason FROM detection_results JOIN detection_executions ON detection_execution_id = "
        "detection_executions.id WHERE detection_executions.outcome = 'inconclusive'"
    )
    assert [row["reason"] for row in reasons] == ["backend_unreachable"]


def _each(field: Field, do: Callable[[Fake], None]) -> None:
    """With all at once: one after the other, the last would be away for as long as the patience with it lasts."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(do, field.fakes.values()))


def _as_if_now(recorded: str) -> list[str]:
    """The messages of a recording as if it had just ended; a longer one would only be waited for."""
    last = max(map(datetime.fromisoformat, _MOMENT.findall(recorded)))
    now = datetime.now(UTC)

    def shifted(moment: re.Match[str]) -> str:
        ago: timedelta = (last - datetime.fromisoformat(moment[0])) / TIMES
        return (now - ago).isoformat()

    return _MOMENT.sub(shifted, recorded).splitlines()


def _wanted(field: Field) -> dict[str, set[str]]:
    return {
        f"{name}-{product}": {outcome} for product in field.fakes for name, outcome in PRODUCTS[product].wanted.items()
    }


def _outcomes(field: Field) -> Counter[str]:
    return Counter(row["outcome"] for row in field.installed.rows(EACH))


def _denials(field: Field) -> set[str]:
    return {row["id"] for row in field.installed.rows(EACH) if row["outcome"] in _DENIED}


def _outages(worker: Part) -> set[str]:
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{") and line.endswith("}")]
    return {line["backend"] for line in lines if line.get("reason") == "backend_unreachable"}
