"""The Windows event log as Windows writes it: read by the extra ``evtx``, matched and dated as any telemetry is."""

from __future__ import annotations

import builtins
import gzip
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from checking_core.contracts import Outcome, Reason
from checking_core.testing import STARTED
from checking_plugin_sigma.evaluate.scan import Scanner

from .evtx_file import event, evtx
from .rules_and_events import a_rule
from .site import COMMAND, CREATION, SECURITY, SYSMON, ask, evidence_of

STARTS = [
    event(SYSMON, 1, "WS01.corp.example", STARTED - timedelta(minutes=5), {"CommandLine": "whoami", "ProcessId": "7"}),
    event(SECURITY, 4688, "WS01.corp.example", STARTED, {"CommandLine": COMMAND, "NewProcessId": "0x1092"}),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "Security.evtx"
    path.write_bytes(evtx(STARTS, STARTED))
    return path


def test_every_record_becomes_an_event_of_its_log_source(log):
    rule = a_rule({"CommandLine|contains": ["whoami", "MiniDump"]}, logsource=CREATION)
    found = [(hit.event.line, hit.event.host, hit.event.text("Channel")) for hit in Scanner([rule]).scan(log)]
    assert found == [(1, "WS01.corp.example", SYSMON), (2, "WS01.corp.example", SECURITY)]


@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_a_packed_log_is_read_as_well(pack, log, tmp_path):
    packed = tmp_path / "packed"
    if pack == "gzip":
        packed.write_bytes(gzip.compress(log.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(log)
    rule = a_rule({"CommandLine|contains": "MiniDump"}, logsource=CREATION)
    assert [hit.event.line for hit in Scanner([rule]).scan(packed)] == [2]


def broken(log: Path) -> bytes:
    """The text of the log with its first record broken."""
    body = log.read_bytes()
    begin = body.index(b"**\0\0") + 30
    return body[:begin] + b"\xff" * 30 + body[begin + 30 :]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_record_that_is_broken_is_counted_and_no_others_are_lost(pack, log):
    log.write_bytes(pack(broken(log)))
    scanner = Scanner([a_rule({"CommandLine|contains": ["whoami", "MiniDump"]}, logsource=CREATION)])
    assert [hit.event.line for hit in scanner.scan(log)] == [2]
    assert scanner.unreadable == {log: 1}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_log_that_is_cut_off_is_no_empty_one(pack, log):
    log.write_bytes(pack(log.read_bytes()[:-1]))
    scanner = Scanner([a_rule({"A": "*"})])
    list(scanner.scan(log))
    assert scanner.unreadable == {log: 1}


async def test_its_time_is_trusted_and_a_hit_proves_a_match(site, log):
    result = await ask(site.detector(events=(str(log),)))
    record = evidence_of(result)
    assert (result.outcome, record.event_at) == (Outcome.MATCHED, STARTED)
    assert (record.fields["sigma"]["file"], record.fields["sigma"]["line"]) == ("Security.evtx", 2)


async def test_without_the_extra_it_says_what_to_install(site, log, monkeypatch):
    def without_evtx(name, *rest, **options):
        if name == "evtx":
            raise ImportError(name)
        return imported(name, *rest, **options)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_evtx)
    result = await ask(site.detector(events=(str(log),)))
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert "pip install 'checking-plugin-sigma[evtx]'" in result.result_metadata["error"]
