"""The command as a whole: how it ends, how quickly it helps, and that its page knows every verb."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from checking_server import cli
from checking_server.commands import config

ROOT = Path(__file__).parents[3]
Output = pytest.CaptureFixture[str]


def ended(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """How the command ends."""
    monkeypatch.setattr(sys, "argv", ["checking", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("report --help", 0),
        ("db upgrade", 0),
        ("expectations lint nowhere.yml", 2),
        ("reprot", 2),
        ("db upgarde", 2),
        ("report --nope", 2),
        ("report one two", 2),
        ("report --format xml", 2),
        ("plugins show", 2),
        ("plugins show nope", 2),
        ("report nope", 2),
        ("db downgrade", 2),
        ("expectations plan --nope", 2),
        ("expectations lint", 2),
    ],
)
def test_the_exit_code_says_what_became_of_it(words: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Output):
    assert ended(monkeypatch, *words.split()) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert bool(told.err) == (code != 0)


def test_a_word_too_many_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    assert ended(monkeypatch, "report", "one", "two") == 2
    assert capsys.readouterr().err == "checking: two: is not wanted here; --help tells what is\n"


def test_a_database_that_is_away_is_one_line_and_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    monkeypatch.setenv("CHECKING_DATABASE_URL", "postgresql://user:secret@127.0.0.1:1/x")
    assert ended(monkeypatch, "report") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("checking: the database does not answer")
    assert "secret" not in line


def test_an_old_schema_names_the_remedy(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    assert ended(monkeypatch, "db", "check") == 3
    assert capsys.readouterr().err.strip().endswith("run: checking db upgrade")


def test_an_error_steers_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    assert ended(monkeypatch, "report", "\x1b[31m\u202e\n") == 2
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_settings_are_shown_with_their_origin_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, tmp_path: Path
):
    monkeypatch.setenv("CHECKING_DATABASE_URL", "postgresql://user:hunter2@db.example/x")
    (tmp_path / ".env").write_text("CHECKING_LOG_LEVEL=ERROR\n")
    assert config.show() == 0
    told = capsys.readouterr().out
    assert re.search(r"CHECKING_DATABASE_URL +postgresql://user:\S+@db.example/x +environment", told)
    assert re.search(r"CHECKING_LOG_LEVEL +ERROR +file", told)
    assert re.search(r"CHECKING_HINTS +fallback +default", told)
    assert "hunter2" not in told


def test_a_wrong_setting_hides_no_other(monkeypatch: pytest.MonkeyPatch, capsys: Output):
    monkeypatch.setenv("CHECKING_LOG_LEVEL", "nonsense")
    assert config.show() == 2
    told = capsys.readouterr()
    assert told.err.startswith("checking: CHECKING_LOG_LEVEL")
    assert "CHECKING_HINTS" in told.out


def test_help_loads_nothing_heavy():
    heavy = {"sqlalchemy", "alembic", "pydantic", "litestar", "asyncpg", "aiosqlite", "markdown_it", "asyncio"}
    code = f"import sys; from checking_server.cli import app; app(['--help']); print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "expectations" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


def verbs(app: App, *path: str) -> Iterator[tuple[str, App]]:
    for name in app:
        if name.startswith("-"):
            continue
        if (found := app[name]).default_command is None:
            yield from verbs(found, *path, name)
        else:
            yield " ".join((*path, name)), found


def test_every_verb_and_option_is_on_the_page_of_the_command():
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    told = list(verbs(cli.app))
    assert len(told) >= 13
    for verb, app in told:
        words = {word for argument in app.assemble_argument_collection() for word in argument.names} - {"*"}
        assert f"checking {verb}" in page, verb
        assert {word for word in words if word not in page} == set(), verb
