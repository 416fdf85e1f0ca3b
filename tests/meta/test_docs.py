"""What the documents show works as shown, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from .examples import BLOCK, MARK, Command, assert_shown, examples, pages, parse, try_out
from .tree import ROOT

LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [p for p in pages() if list(examples(p))], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_marked_example_does_what_its_page_says(page: Path, tmp_path: Path) -> None:
    tried = 0
    for example in examples(page):
        try_out(example, tmp_path)
        tried += 1
    assert tried > 0


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_mark_stands_without_its_block(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(MARK.findall(text)) == len(BLOCK.findall(text))


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    dead = [target for target in LINK.findall(text) if not leads_somewhere(page, unquote(target))]
    assert dead == []


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / target).resolve() for target in LINK.findall(index.read_text(encoding="utf-8"))}
    missing = [
        str(page.relative_to(ROOT))
        for page in pages()
        if index.parent in page.parents and page != index and page not in listed
    ]
    assert not missing, "\n".join(missing)


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether the file is there, and in it the heading if one is named."""
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    if not file.exists():
        return False
    if not anchor or file.suffix != ".md":
        return True
    headings = HEADING.findall(FENCED.sub("", file.read_text(encoding="utf-8")))
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_shown_line_that_is_not_in_the_output_is_found_out() -> None:
    command = Command("true", ("first", "last ... line"))
    assert_shown(command, "first\nbetween\nlast of the lines, a line\n", "here")
    with pytest.raises(AssertionError, match="is not in"):
        assert_shown(command, "last in line\nfirst\n", "here")


def test_a_command_ends_where_its_output_begins() -> None:
    body = "$ one \\\n  two\nshown\n$ three\n"
    assert list(parse(body)) == [Command("one   two", ("shown",)), Command("three", ())]
