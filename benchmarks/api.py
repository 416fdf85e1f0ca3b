"""The API beside a yardstick: the same routes of FastAPI and SQLAlchemy's ORM over the same tables of one PostgreSQL.

    python benchmarks/api.py [--results 1000] [--then 0] [--seconds 5] [--runs 3] [--install]

One process each, asked by wrk over 16 connections. ``--then 1000000`` fills the database up to so many results after
that and asks ours again: what a route takes then stands beside what it took. The yardstick is written as the ORM is
usually used, one that exists is refused and one that is stored is read back; it neither knows who asks, nor audits, nor
tells streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from rig.figures import medians, options, tell
from rig.peers import PROGRAMS, Column, install
from rig.processes import Surroundings, started
from rig.stored import EXECUTIONS_OF_OPERATION, fill, fill_operations
from tests.services import PrivatePostgres, free_ports, fresh_database

YARDSTICK = Column(
    "uvicorn", "FastAPI + SQLAlchemy ORM", ("fastapi", "uvicorn[standard]", "sqlalchemy[asyncio]", "asyncpg"), ()
)
CONNECTIONS = 16
OPERATIONS = 1_000
"""Operations that are listed; those of the results are some of them."""
_BY_ID = """
local count = 0
request = function()
  count = (count * 1103515245 + 12345) %% 2147483648
  return wrk.format("GET", "/api/v1/%s/" .. keys[1 + count %% #keys])
end
"""
SCRIPTS = {
    "operation by id": _BY_ID % "operations",
    "execution by id": _BY_ID % "executions",
    "create": """
local text = function(length) local t = {} for i = 1, length do t[i] = string.format("%x", math.random(0, 15)) end
  return table.concat(t) end
request = function()
  local key = text(8) .. "-" .. text(4) .. "-4" .. text(3) .. "-8" .. text(3) .. "-" .. text(12)
  local body = '{"operation_id": "' .. key .. '", "name": "nightly"}'
  return wrk.format("POST", "/api/v1/operations", {["Content-Type"] = "application/json"}, body)
end
""",
}


class Asked(NamedTuple):
    """What wrk found: requests a second, and milliseconds to an answer."""

    rate: float
    p50: float
    p99: float


def paths() -> dict[str, str]:
    """What is asked; what has a script makes its own."""
    operation = UUID(hashlib.md5(b"told0", usedforsecurity=False).hexdigest())
    return {
        "100 operations": "/operations?size=100",
        "1,000 operations": "/operations?size=1000",
        "operation by id": "",
        "100 executions": "/executions?size=100",
        "1,000 executions": "/executions?size=1000",
        "execution by id": "",
        "statistics": "/detections/results/stats/summary",
        "create": "",
        "techniques of one": f"/statistics/techniques?operation_id={operation}",
    }


OURS_ALONE = ("techniques of one",)


def ask(base: str, route: str, seconds: int, folder: Path) -> Asked:
    """Ask one route as often as it answers."""
    script = []
    if route in SCRIPTS:
        kind = route.partition(" ")[0]
        keys = [UUID(hashlib.md5(f"{kind}{n}".encode(), usedforsecurity=False).hexdigest()) for n in range(1000)]
        told = ", ".join(f'"{key}"' for key in keys)
        (folder / "ask.lua").write_text(f"math.randomseed(os.time())\nkeys = {{{told}}}\n{SCRIPTS[route]}")
        script = ["-s", str(folder / "ask.lua")]
    load = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
    command = ["wrk", *load, *script, f"{base}/api/v1{paths()[route]}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{route}: {out}")
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", out)
    return Asked(float(rate), _milliseconds(out, 50), _milliseconds(out, 99))


def _milliseconds(out: str, percent: int) -> float:
    ((number, unit),) = re.findall(rf"{percent}%\s+([\d.]+)(us|ms|s)\b", out)
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


@contextlib.contextmanager
def ours(database: str) -> Iterator[str]:
    """Our server with the API alone."""
    environment = {
        **os.environ,
        "CHECKING_DATABASE_URL": database,
        "CHECKING_API_PORT": "0",
        "CHECKING_API_REQUESTS_PER_MINUTE": "0",
        "CHECKING_LOG_LEVEL": "WARNING",
    }
    (port,) = free_ports(1)
    command = ("checking", "serve", "--role", "api", "--no-auth", "--port", str(port))
    with started(*command, environment=environment, ready="serves on"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def yardstick(database: str) -> Iterator[str]:
    """The peer."""
    (port,) = free_ports(1)
    environment = {**os.environ, "PEER_DATABASE": database, "PYTHONPATH": str(PROGRAMS)}
    options = ("--port", str(port), "--no-access-log", "--log-level", "warning")
    process = subprocess.Popen([*YARDSTICK.command, "orm_api:app", *options], env=environment)
    try:
        subprocess.run(
            [
                "curl",
                "-sf",
                "--retry",
                "50",
                "--retry-connrefused",
                "--retry-delay",
                "0",
                "-o",
                os.devnull,
                f"http://127.0.0.1:{port}/openapi.json",
            ],
            check=True,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def compare(database: str, folder: str, seconds: int, *, beside: bool) -> Mapping[str, Asked]:
    """Every route of ours and, beside it, of the yardstick; printed as it is found."""
    found = {}
    with ours(database) as here, yardstick(database) if beside else contextlib.nullcontext("") as there:
        for route in paths():
            around = Surroundings([])
            mine = found[route] = ask(here, route, seconds, Path(folder))
            figures = {"per_s": mine.rate, "p50_ms": mine.p50, "p99_ms": mine.p99, "p99_to_p50": mine.p99 / mine.p50}
            if beside and route not in OURS_ALONE:
                other = ask(there, route, seconds, Path(folder))
                figures |= {"yardstick_per_s": other.rate, "times": mine.rate / other.rate}
            tell(route, {**figures, "busy_cores": around.cores()})
    return found


async def grow(database: str, first: int, end: int) -> None:
    """Fill the database up to so many results."""
    connection = await asyncpg.connect(database.replace("+asyncpg", ""))
    try:
        await fill(connection, first, end)
        await fill_operations(connection, max(end // EXECUTIONS_OF_OPERATION, 1), OPERATIONS)
    finally:
        await connection.close()


def main() -> None:
    """Print each route of each run; at the end the medians of the times, and how they grew."""
    parser = options(__doc__, results=1_000, then=0, seconds=5, runs=3)
    parser.add_argument("--install", action="store_true", help="make the yardstick's environment with uv")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk asks the questions, and it is not installed")
    if chosen.install:
        install([YARDSTICK])
    beside = YARDSTICK.version() is not None
    print(f"yardstick: {YARDSTICK.how}" if beside else "no yardstick: --install makes it")
    with contextlib.closing(PrivatePostgres(durable=True)) as postgres, tempfile.TemporaryDirectory() as folder:
        postgres.start()
        with fresh_database(postgres.url) as database:
            environment = {**os.environ, "CHECKING_DATABASE_URL": database}
            subprocess.run(["checking", "db", "upgrade"], env=environment, check=True, stdout=subprocess.DEVNULL)
            before = measured(database, folder, 0, chosen.results, chosen, beside=beside)
            if chosen.then:
                after = measured(database, folder, chosen.results, chosen.then, chosen, beside=False)
                tell("grown", {route: after[route] / before[route] for route in before})


def measured(database: str, folder: str, first: int, end: int, chosen: object, *, beside: bool) -> dict[str, float]:
    """The median time of each route with so many results stored, in milliseconds."""
    asyncio.run(grow(database, first, end))
    print(f"{end:,} results, {end // EXECUTIONS_OF_OPERATION:,} operations")
    runs = []
    for number in range(chosen.runs):
        print(f"run {number + 1}")
        found = compare(database, folder, chosen.seconds, beside=beside)
        runs.append({route: asked.p50 for route, asked in found.items()})
    times = medians(runs)
    tell("median_ms", times)
    return times


if __name__ == "__main__":
    main()
