"""Whether two command lines are one, however a sensor shows them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.matching.command import MAX_LENGTH, MAX_SHELLS, MAX_STEPS, Commands


def encoded(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


@pytest.mark.parametrize(
    ("run", "seen"),
    [
        ("whoami /all", "whoami /all"),
        ("whoami /all", "WHOAMI  /ALL"),
        ("whoami /all", '"C:\\Windows\\system32\\whoami.exe" /all'),
        ("whoami", "/usr/bin/whoami"),
        ("whoami.exe", "whoami"),
        ("setup.com", r"C:\setup"),
        ("run.bat now", "run now"),
        ("run.cmd now", "run now"),
        ("w^hoa^mi /all", "whoami /all"),
        ('who""ami', "whoami"),
        ("whoami `\n/all", "whoami /all"),
        ("net user\nnet group", "net usernet group"),
        ("cd /tmp\r\nid", "cd /tmpid"),
    ],
)
def test_quotes_case_folder_extension_and_line_breaks_do_not_matter(run, seen):
    assert Commands.of(run).same_as(seen)


@pytest.mark.parametrize(
    "seen",
    [
        "sh -c 'whoami /all'",
        "/bin/bash -c whoami /all",
        "bash -lc 'whoami /all'",
        'cmd.exe /c "whoami /all"',
        "cmd /q /k whoami /all",
        "powershell.exe -ExecutionPolicy Bypass -C whoami /all",
        "pwsh -NoProfile -Command whoami /all",
        'sh -c "cmd /c whoami /all"',
        '"C:\\Program Files\\PowerShell\\7\\pwsh.exe" -c whoami /all',
        "'/opt/my shells/zsh' -c 'whoami /all'",
        r"C:\Program Files\PowerShell\7\pwsh.exe -c whoami /all",
        f"powershell -enc {encoded('whoami /all', 'utf-16-le')}",
        f'sh -c eval "$(echo {encoded("whoami /all")} | base64 --decode)"',
    ],
)
def test_a_shell_that_was_told_to_run_it_is_it(seen):
    assert Commands.of("whoami /all").same_as(seen)


@pytest.mark.parametrize(
    "run",
    [
        "sh -c 'whoami /all'",
        "hostname; whoami /all; id",
        "hostname && whoami /all",
        "false || whoami /all",
        "whoami /all | sort",
        "hostname\nwhoami /all",
        "hostname\r\nwhoami /all",
        "hostname & whoami /all",
        "whoami /all > out.txt",
        "whoami /all 2>&1",
        "whoami /all >> out.txt 2>$null",
        f"powershell -enc {encoded('hostname; whoami /all', 'utf-16-le')}",
    ],
)
def test_a_step_of_what_ran_is_seen_as_a_child(run):
    assert Commands.of(run).same_as("whoami.exe /all")


@pytest.mark.parametrize(
    ("run", "seen"),
    [
        ("whoami /all", "whoami"),
        ("whoami", "whoami /all"),
        ("whoami /all", "a"),
        ("whoami /all", ""),
        ("whoami /all", '""'),
        ("", "whoami"),
        ("", ""),
        ("id", "cat /etc/hidden"),
        ("cat /etc/hidden", "id"),
        ("sh -c whoami", "sh -c id"),
        ("sh -c whoami", "sh"),
        ("a" * 400, "a" * 399 + "b"),
        (r"C:\tools\procdump -ma lsass.exe", "lsass"),
        (r"C:\Windows\System32\cmd /c whoami.exe", "cmd"),
        ("python -c whoami", "whoami"),
    ],
)
def test_part_of_a_command_is_another_command(run, seen):
    assert not Commands.of(run).same_as(seen)


def test_a_record_that_shows_a_script_is_not_one_of_its_steps():
    assert not Commands.of("whoami").same_as("hostname; whoami")


def test_what_was_run_and_what_was_meant_are_both_known():
    commands = Commands.of(f'eval "$(echo {encoded("whoami")} | base64 --decode)"', "whoami")
    assert commands.same_as("whoami")
    assert commands.same_as(f'sh -c eval "$(echo {encoded("whoami")} | base64 --decode)"')


def test_an_encoded_word_as_short_as_eight_letters_is_read():
    assert Commands.of("d2hvYW1p").same_as("whoami")
    assert Commands.of("whoami").same_as("echo d2hvYW1p | base64 -d")


@pytest.mark.parametrize("garbage", ["ANgA2ADY", "AQIDBAUG", "/////////////////////w==", "AAAAAAAAAAAAAAAAA"])
def test_what_is_encoded_and_no_text_is_left_alone(garbage):
    assert Commands.of(garbage).texts == {garbage.casefold()}


@pytest.mark.parametrize("text", ["whoami /al", "whoami /all", "whoami /alls"])
@pytest.mark.parametrize("padded", [True, False])
def test_padding_does_not_matter(text, padded):
    assert Commands.of(text).same_as(encoded(text) if padded else encoded(text).rstrip("="))


def test_an_encoded_line_break_is_text():
    assert Commands.of(encoded("whoami\nhostname")).same_as("hostname")


def test_a_command_is_read_up_to_a_limit():
    assert Commands.of("x" * MAX_LENGTH + "y").texts == {"x" * MAX_LENGTH}
    assert Commands.of("x" * MAX_LENGTH).same_as("x" * MAX_LENGTH + "y")


def test_the_steps_of_a_script_are_told_apart_up_to_a_limit():
    script = ";".join(f"step{number}" for number in range(MAX_STEPS + 2))
    commands = Commands.of(script)
    assert commands.same_as(f"step{MAX_STEPS - 1}")
    assert not commands.same_as(f"step{MAX_STEPS}")


def test_shells_within_shells_are_looked_into_up_to_a_limit():
    wrapped = "sh -c " * (MAX_SHELLS - 1)
    assert Commands.of("whoami").same_as(f"{wrapped} whoami")
    assert not Commands.of("whoami").same_as(f"sh -c {wrapped} whoami")


def test_nothing_to_run_is_nothing():
    assert Commands.of(None, "") == Commands(frozenset(), frozenset(), frozenset())


@given(st.text(min_size=1))
def test_every_command_that_has_a_word_is_itself(text):
    commands = Commands.of(text)
    assert commands.same_as(text) is bool(commands.texts or commands.whole)


@given(st.text(), st.text())
def test_no_text_is_too_strange_to_be_compared(ours, theirs):
    assert Commands.of(ours).same_as(theirs) in (True, False)
