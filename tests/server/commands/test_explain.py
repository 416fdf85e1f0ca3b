"""``checking explain`` and ``checking retry``: what a verdict rests on, and asking once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.server.conftest import Stations, hint

from checking_core.errors import ConflictError, NotFoundError
from checking_server.commands.explain import explain
from checking_server.commands.ingest import ingest
from checking_server.commands.report import report
from checking_server.commands.retry import retry

Link = Callable[..., bytes]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the mock backend, the only one, answer something."""
    scenario = tmp_path / "scenario.yml"
    monkeypatch.setenv("CHECKING_BACKENDS", '{"mock": {"plugin": "mock"}}')
    monkeypatch.setenv("CHECKING_MOCK_SCENARIO", str(scenario))

    def answer(word: str) -> None:
        scenario.write_text(f"- {{answer: {word}}}\n")

    return answer


@pytest.fixture
async def missed(tmp_path: Path, link: Link, answers: Callable[[str], None]) -> None:
    """An operation of one step, whose alert did not come."""
    answers("no_alert")
    body = link(detections=[hint("mock", alert={"rule": "LSASS dump"}, expect="alerted")])
    (tmp_path / "message.json").write_bytes(body)
    await ingest("message.json")


async def outcome(capsys: Output) -> str:
    capsys.readouterr()
    await report("op", format="json")
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    found: str = line["check"]["outcome"]
    return found


async def test_a_miss_is_explained_to_a_person_and_to_a_program(missed: None, capsys: Output) -> None:
    capsys.readouterr()
    await explain("op", 1)
    told = capsys.readouterr().out
    for words in ("no_alert", "NOT met", "Why\n", "LSASS dump", "Looks\n", "What would change it\n", "checking retry"):
        assert words in told, words
    await explain("op", 1, format="json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["check"]["outcome"] == "no_alert"
    await explain(found["check"]["id"][:8])
    assert capsys.readouterr().out == told


async def test_several_checks_of_a_step_are_told_one_after_the_other(
    stations: Stations, link: Link, capsys: Output
) -> None:
    await stations.accepts(link(detections=[hint("siem"), hint("edr")]))
    capsys.readouterr()
    await explain("op", 1)
    told = capsys.readouterr().out
    assert told.index("edr: pending") < told.index("\n\nsiem: pending")


async def test_an_explanation_steers_no_terminal(stations: Stations, link: Link, capsys: Output) -> None:
    hostile = "[bold red]x[/]\x1b]8;;http://evil\x07\u202e:boom:"
    await stations.accepts(link(agent_host=hostile, command=hostile, detections=[hint(query=hostile)]))
    capsys.readouterr()
    await explain("op", 1)
    told = capsys.readouterr().out
    assert told.replace("\n", "").isprintable()
    assert "[bold red]x[/]␛" in told


async def test_what_a_retry_finds_upgrades_the_verdict_and_is_not_lost_again(
    missed: None, answers: Callable[[str], None], capsys: Output
) -> None:
    assert await outcome(capsys) == "no_alert"
    answers("alerted")
    await retry("op", 1)
    told = capsys.readouterr().out
    assert "no_alert before, alerted now" in told
    assert "Next: checking explain " in told
    answers("none")
    await retry("op", 1)
    assert await outcome(capsys) == "alerted"
    await explain("op", 1)
    told = capsys.readouterr().out
    assert "Earlier verdicts\n" in told
    assert "3: " in told


async def test_a_check_that_is_open_or_not_there_is_not_asked_again(
    stations: Stations, link: Link, answers: Callable[[str], None]
) -> None:
    answers("none")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await stations.accepts(link(collect=soon, finish=soon, detections=[hint("mock")]))
    with pytest.raises(ConflictError, match="is open"):
        await retry("op", 1)
    with pytest.raises(NotFoundError):
        await retry("ffffffff")
