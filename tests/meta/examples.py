"""Examples in README and docs that are run. A comment before a fenced block says what is done with it:

``<!-- run -->``           console: each line after ``$ `` is run, and the lines below it must appear in its output, in
                           this order, ``...`` standing for anything; python: is run, must not fail or warn
``<!-- run exit=1 -->``    the same, and the last command ends with this code
``<!-- file: NAME -->``    is saved under this name, for the examples after it
``<!-- expectations -->``  is loaded as an expectations file

The examples of one page are run in their order, in one empty folder, with no setting of ours in the environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from checking_core.expectations.load import load

from .tree import ROOT, project_files

BLOCK = re.compile(
    r"^<!-- (?P<verb>run|file|expectations)(?:: (?P<name>[\w.-]+))?(?: exit=(?P<code>\d+))? -->\n+"
    r"```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"^<!-- (?:run|file|expectations)\b", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    place: str
    verb: str
    name: str
    code: int
    language: str
    body: str


@dataclass(frozen=True)
class Command:
    line: str
    shown: tuple[str, ...]


def pages() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Example(
            place=f"{page.relative_to(ROOT)}:{line}",
            verb=found["verb"],
            name=found["name"] or "expectations.yml",
            code=int(found["code"] or 0),
            language=found["language"],
            body=found["body"],
        )


def try_out(example: Example, folder: Path) -> None:
    """Do what the mark says; an ``AssertionError`` tells what is not as the page says."""
    match example.verb, example.language:
        case "file", _:
            (folder / example.name).write_text(example.body, encoding="utf-8")
        case "expectations", "yaml":
            (folder / example.name).write_text(example.body, encoding="utf-8")
            assert load([folder / example.name]).items, example.place
        case "run", "console":
            commands = list(parse(example.body))
            assert commands, f"{example.place}: no line starts with '$ '"
            for command in commands:
                done = execute(["bash", "-c", command.line], folder)
                expected = example.code if command is commands[-1] else 0
                assert done.returncode == expected, f"{example.place}: {command.line}\n{done.stdout}"
                assert_shown(command, done.stdout, example.place)
        case "run", "python":
            done = execute([sys.executable, "-W", "error", "-c", example.body], folder)
            assert done.returncode == example.code, f"{example.place}\n{done.stdout}"
        case _:
            raise AssertionError(f"{example.place}: no way to {example.verb} {example.language}")


def parse(body: str) -> Iterator[Command]:
    """Commands, each with the output that is shown for it; a backslash at the end continues a command."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, _, shown = re.sub(r"\\\n", "", part).partition("\n")
        yield Command(command, tuple(shown.splitlines()))


def execute(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run with the commands of this environment on ``PATH``, errors among the output."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=90,
    )


def assert_shown(command: Command, output: str, place: str) -> None:
    """The lines that the page shows are in the output, in their order."""
    lines = iter(output.splitlines())
    for shown in filter(None, map(str.strip, command.shown)):
        pattern = re.compile(".*".join(map(re.escape, shown.split("..."))))
        assert any(pattern.fullmatch(line.strip()) for line in lines), f"{place}: {shown!r} is not in\n{output}"
