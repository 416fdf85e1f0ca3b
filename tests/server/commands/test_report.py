"""``checking report``: a table that nobody can steer, and a text for every other reader."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.server.conftest import Stations

from checking_core.errors import ConfigurationError
from checking_server.commands.report import report, show
from checking_server.flow.report import report as report_of

Link = Callable[..., bytes]
Output = pytest.CaptureFixture[str]
HOSTILE = "[bold red]x[/]\x1b]8;;http://evil\x07\u202e:boom:"


async def test_a_report_tells_operation_checks_counts_and_what_to_do(stations: Stations, link: Link, capsys: Output):
    await stations.accepts(link(1), link(2, cleanup=True, agent_host="ws02"))
    await report("op")
    told = capsys.readouterr().out
    for words in ("op\n", "ws01", "whoami", "siem", "pending", "cleanup", "2 executions", "1 check is under way"):
        assert words in told, words


async def test_a_hostile_name_steers_no_terminal(stations: Stations, link: Link, capsys: Output):
    hostile = {"operation_id": "7", "name": HOSTILE}
    await stations.accepts(link(operation=hostile, agent_host=HOSTILE, command=HOSTILE), link(2, operation=hostile))
    await report("latest")
    await report()
    told = capsys.readouterr().out
    assert told.replace("\n", "").isprintable()
    assert told.count("[bold red]x[/]␛") >= 3
    assert ":boom:" in told


async def test_no_line_of_a_table_is_wider_than_the_terminal(stations: Stations, link: Link):
    await stations.accepts(link(1, command="x" * 500), link(2, agent_host="h" * 100))
    written = io.StringIO()
    show(await report_of(stations.store, "op"), Console(file=written, width=80, force_terminal=True, color_system=None))
    assert max(map(len, written.getvalue().splitlines())) <= 80
    assert "…" in written.getvalue()


async def test_a_wide_terminal_shows_the_id_by_which_a_check_is_explained(stations: Stations, link: Link):
    await stations.accepts(link())
    (check,) = await stations.checks()
    shown = []
    for width in (140, 160):
        written = io.StringIO()
        show(await report_of(stations.store, "op"), Console(file=written, width=width, color_system=None))
        shown.append(str(check["id"])[:8] in written.getvalue())
    assert shown == [False, True]


async def test_a_report_can_be_read_without_colours(stations: Stations, link: Link):
    await stations.accepts(link(1), link(2, link_state="DISCARD"), link(3, cleanup=True))
    found = await report_of(stations.store, "op")
    texts = []
    for colours in ("standard", None):
        written = io.StringIO()
        show(found, Console(file=written, width=120, force_terminal=True, color_system=colours))
        texts.append(written.getvalue())
    coloured, plain = texts
    assert coloured != plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


@pytest.mark.parametrize(("kind", "begin"), [("json", "{\n"), ("csv", "operation_id,"), ("md", "# Operation")])
async def test_a_report_has_a_text_for_every_reader(
    stations: Stations, link: Link, capsys: Output, tmp_path: Path, kind: Any, begin: str
):
    await stations.accepts(link(agent_host="wärme"))
    capsys.readouterr()
    await report("op", format=kind)
    printed = capsys.readouterr().out
    await report("op", format=kind, output=tmp_path / "file")
    stored = (tmp_path / "file").read_bytes().decode()
    made_at = re.compile(r'"generated_at": "[^"]*"|report of [^.]*\.')
    assert printed.startswith(begin)
    assert "wärme" in stored
    assert made_at.sub("", stored).splitlines() == made_at.sub("", printed).splitlines()


async def test_a_table_in_a_file_has_no_colours_and_is_hardly_cut(
    stations: Stations, link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("COLUMNS")
    await stations.accepts(link(command="x" * 60))
    await report("op", output=tmp_path / "file")
    stored = (tmp_path / "file").read_text()
    assert "x" * 60 in stored
    assert "\x1b" not in stored


async def test_a_file_that_cannot_be_written_is_told(stations: Stations, link: Link, tmp_path: Path):
    await stations.accepts(link())
    with pytest.raises(ConfigurationError, match=r"--output: .* cannot be written"):
        await report("op", output=tmp_path)


async def test_without_an_operation_the_operations_are_listed(
    stations: Stations, link: Link, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    await report()
    assert "checking ingest" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "160")
    await stations.accepts(link(1), link(2, detections=None))
    await report()
    told = capsys.readouterr().out
    for words in ("op", "10000000-0000-4000-8000-000000000001", "running", "0 closed, 1 open", "1 pending"):
        assert words in told, words
