"""``checking check``: exit codes, and what a person and a program read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import checking_core
from checking_core import Alert, Ask, SearchAnswer, SearchDetector, SearchRequest
from checking_core.plugin import NoSettings
from checking_core.report.words import moment
from checking_server import cli
from checking_server.commands.check_text import show_checked
from checking_server.commands.terminal import terminal

Output = pytest.CaptureFixture[str]
WHO = ["--platform", "mock", "--host", "ws01", "--at", "2026-01-15T09:00:00Z"]


def checked(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["checking", "check", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert isinstance(left.value.code, int)
    return left.value.code


def answer(text: str, **more: object) -> list[str]:
    return ["--config", json.dumps({"mock": {"answer": text, **more}, "delay": 0})]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--query", "x", *answer("matched")], 0),
        (["--query", "x", *answer("none")], 0),
        (["--query", "x", "--expect", "matched", *answer("matched")], 0),
        (["--query", "x", "--expect", "matched", *answer("none")], 1),
        (["--alert-rule", "x", "--expect", "silent", *answer("alerted")], 1),
        (["--alert-rule", "x", "--expect", "silent", *answer("no_alert")], 0),
        (["--query", "x", "--expect", "matched", *answer("none", partial=True)], 1),
        (["--query", "x", *answer("alerted", errors=9)], 3),
        (["--query", "x", "--expect", "silent", *answer("alerted", errors=9)], 3),
        (["--query", "x", *answer("fatal")], 2),
        (["--query", "x", *answer("perhaps")], 2),
    ],
)
def test_the_exit_code_says_what_became_of_it(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: Output
):
    assert checked(monkeypatch, *WHO, *words) == code
    told = capsys.readouterr()
    assert told.out.startswith("mock: ")
    assert len(told.err.splitlines()) == (code in (2, 3))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([*WHO, "--config", "{alrt: {}}"], "checking: detection_config: alrt: is no known key; did you mean alert?"),
        (
            [*WHO, "--config", "nonsense"],
            "checking: --config: is no mapping; write it as '{settle: 30, control: false}'",
        ),
        ([*WHO, "--config", "@gone.yml"], "checking: --config: gone.yml cannot be read: No such file or directory"),
        (
            [*WHO, "--query", "a", "--config", "{query: b}"],
            "checking: --config: tells query, which an option tells as well; keep one of them",
        ),
        ([*WHO[:-1], "19:28"], "checking: at: is no time; write it as 2026-11-20T19:28:38Z"),
        ([*WHO[:-1], "2026-01-15T09:00"], "checking: at: has no time zone; add Z for UTC, or an offset such as +02:00"),
        (
            [*WHO, "--until", "2026-01-15T08:00:00Z"],
            "checking: until: lies before the start; it is when the execution ended",
        ),
        (["--platform", "mokc", *WHO[2:]], "checking: no backend and no platform is called 'mokc'; did you mean mock?"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: Output
):
    assert checked(monkeypatch, *words) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"{line}\n")


def test_a_setting_of_the_plugin_that_is_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    monkeypatch.setenv("CHECKING_MOCK_SCENARIO", "nowhere.yml")
    assert checked(monkeypatch, *WHO) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("checking: backend mock: plugin mock cannot be created")


def test_a_person_reads_verdict_answers_query_and_evidence(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    words = ["--telemetry", "x", "--alive", "y", "--command", "whoami \x1b[31m", *answer("logged")]
    assert checked(monkeypatch, *WHO, *words) == 0
    told = capsys.readouterr().out
    for shown in (
        "mock: logged (telemetry_without_alert); wanted logged: met",
        "answers   alert no, rule no, telemetry yes, alive yes",
        "asked     mock: logged",
        "The raw trace of this execution is there",
        "event, mock-event-",
        "'whoami \\x1b[31m on ws01', ws01, 2026-01-15 09:00:00Z",
    ):
        assert shown in told, shown


def test_before_the_deadline_it_says_from_when_a_no_counts(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    when = ["--at", began.isoformat(), "--query", "x", "--config", "{deadline: 1d, mock: {answer: none}}"]
    assert checked(monkeypatch, *WHO[:-2], *when) == 0
    told = capsys.readouterr().out
    assert f"Not final: only an answer after {moment(began + timedelta(days=1))} can prove a no." in told


def test_a_program_reads_the_result_and_what_it_is_measured_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
):
    (tmp_path / "check.yml").write_text("alert: {rule: x}\nmock: {answer: alerted}\n")
    assert checked(monkeypatch, *WHO, "--config", "@check.yml", "--format", "json", "--expect", "alerted") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["reason"], told["expect"], told["met"]) == (
        "alerted",
        "matched_alert",
        "alerted",
        "yes",
    )
    assert told["parsed_results"]["evidence"][0]["kind"] == "alert"


# --- evidence and near misses, as a product tells them ---------------------------------------------------------

BEGAN = datetime(2026, 1, 15, 9, tzinfo=UTC)


class AlertStore(SearchDetector):
    """A product with these alerts."""

    platform = "store"
    answers = frozenset({Ask.ALERT})

    def __init__(self, *alerts: Alert) -> None:
        super().__init__("store", NoSettings())
        self.alerts = {alert.id: alert for alert in alerts}

    async def search(self, request: SearchRequest) -> SearchAnswer:
        return SearchAnswer(records=[{"id": key} for key in self.alerts], query_sent="alerts\nof today")

    def normalise(self, record: Mapping[str, Any]) -> Alert:
        return self.alerts[record["id"]]


def an_alert(number: int, **changes: Any) -> Alert:
    told = {"id": f"a{number}", "title": "Dump\x1b[2J", "rule": "LSASS dump", "hosts": ("ws01",), "event_at": BEGAN}
    return Alert(**(told | changes))


async def shown(*alerts: Alert, **config: Any) -> str:
    checked = await checking_core.check(
        AlertStore(*alerts), {"alert": {"rule": "LSASS dump"}, **config}, host="ws01", at=BEGAN, pid=7
    )
    stream = StringIO()
    show_checked(checked, terminal(stream))
    return stream.getvalue()


async def test_what_ties_a_record_is_told():
    told = await shown(an_alert(1, pid=7, severity="high", created_at=BEGAN + timedelta(seconds=9)))
    assert "store: alerted (matched_alert); wanted alerted: met" in told
    assert "tied to it by host and process." in told
    assert "alert, a1, 'Dump\\x1b[2J', ws01, 2026-01-15 09:00:00Z, high, tied by host, pid (process)" in told
    assert "asked     alert: alerts\nasked     of today" in told
    assert "\x1b" not in told


async def test_near_misses_are_counted_and_the_nearest_shown_with_their_reason():
    elsewhere = [an_alert(number, hosts=("dc01",)) for number in range(30)]
    told = await shown(*elsewhere, an_alert(99, rule="Another"))
    assert "Near misses: 30 of another host, 1 of another rule" in told
    assert "alert, a99, 'Dump\\x1b[2J', ws01, 2026-01-15 09:00:00Z: of another rule" in told
    assert "  and 21 more" in told
    assert "Evidence" not in told
