"""Whatever an attacker writes stays text: on a terminal, in JSON, in a spreadsheet, in Markdown and HTML."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from checking_core.report.escape import (
    csv_cell,
    json_text,
    markdown,
    markdown_link,
    shortened,
    visible,
    web_address,
)

NASTY = (
    "|",
    "`",
    "``",
    "\n",
    "\r\n",
    "\\",
    "*",
    "_",
    "~~",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "<script>alert(1)</script>",
    "<!--",
    "&lt;",
    "&#124;",
    " #",
    "http://evil.example",
    "www.evil.example",
    "{{ 7*7 }}",
    "$x^2$",
    "\x1b[2J",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200b",
    "\x00",
    "\ud800",
    "[bold red]",
    "[/]",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "+1",
    "-1",
    "\t=1",
    "\uff1d1",
    '"',
    "'",
    ",",
    ";",
    " ",
)
hostile = st.lists(st.sampled_from(NASTY) | st.text(max_size=5), max_size=8).map("".join)
parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


# --- terminal --------------------------------------------------------------------------------------------------


@given(hostile)
def test_visible_text_is_one_line_that_no_terminal_obeys(text: str) -> None:
    assert visible(text).isprintable()


@given(hostile)
def test_visible_text_holds_no_character_that_is_obeyed_or_unseen(text: str) -> None:
    assert {unicodedata.category(one) for one in visible(text)}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_text_that_anybody_can_see_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(hostile)
def test_what_is_visible_already_is_not_written_out_again(text: str) -> None:
    assert visible(visible(text)) == visible(text)


def test_what_was_hidden_is_shown_by_its_name() -> None:
    assert visible("a\x1b[31mb\nc\x7f\u202egpj.exe") == "a␛[31mb␊c␡<U+202E>gpj.exe"


def test_a_long_text_is_shortened_to_the_length() -> None:
    assert (shortened("abcdef", 4), shortened("abcd", 4)) == ("abc…", "abcd")


# --- JSON ------------------------------------------------------------------------------------------------------


@given(st.dictionaries(hostile, hostile))
def test_json_says_the_same_and_holds_no_control_character(value: dict[str, str]) -> None:
    shown = json_text(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert shown.replace("\n", "").isprintable()


# --- CSV -------------------------------------------------------------------------------------------------------


@given(st.lists(hostile, min_size=1, max_size=5))
def test_a_row_of_csv_keeps_its_cells(texts: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerow([csv_cell(text) for text in texts])
    (row,) = csv.reader(io.StringIO(written.getvalue(), newline=""))
    assert row == [csv_cell(text) for text in texts]


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@given(hostile)
@example("=1+1")
@example("  =1+1")
@example("\t=1+1")
@example("\r=1+1")
@example("\n=1+1")
@example("\uff1d1+1")
def test_no_cell_begins_a_formula(text: str) -> None:
    assert not csv_cell(text).lstrip(" ").startswith(FORMULA)


@given(hostile)
def test_a_cell_says_what_the_text_says(text: str) -> None:
    shown = visible(text, keep="\t\r\n")
    assert csv_cell(text) in (shown, f"'{shown}")


@pytest.mark.parametrize("text", ["whoami", "a=1", "first\nsecond", "C:\\Temp\tx", "'quoted'"])
def test_an_honest_cell_stays_as_it_is(text: str) -> None:
    assert csv_cell(text) == text


# --- Markdown and HTML -------------------------------------------------------------------------------------------


def cells(document: str) -> list[list[Token]]:
    """What each cell of the tables of a document is made of."""
    tokens = parser.parse(document)
    return [
        tokens[index + 1].children or [] for index, token in enumerate(tokens) if token.type in ("td_open", "th_open")
    ]


@given(hostile, hostile)
def test_a_cell_of_markdown_is_text_and_nothing_else(first: str, second: str) -> None:
    found = cells(f"| a | b |\n| --- | --- |\n| {markdown(first)} | {markdown(second)} |\n")
    assert len(found) == 4
    for text, cell in zip((first, second), found[2:], strict=True):
        assert {token.type for token in cell} <= {"text"}
        assert "".join(token.content for token in cell) == visible(text).strip()


@given(hostile)
def test_a_line_of_markdown_is_text_and_nothing_else(text: str) -> None:
    heading, inline, end, *more = parser.parse(f"# Operation {markdown(text)}")
    assert (heading.type, end.type, more) == ("heading_open", "heading_close", [])
    assert {token.type for token in inline.children or ()} == {"text"}


@given(hostile)
def test_markdown_is_harmless_as_html_too(text: str) -> None:
    assert not {"<", ">"} & set(markdown(text))


@pytest.mark.parametrize("text", ["$x$", "{{ x }}", "http://x", "HTTPS://x", "www.x", "WWW.x", "![x]", "x^2^"])
def test_the_marks_of_other_dialects_are_escaped_too(text: str) -> None:
    assert text[:-1] not in markdown(text)
    assert parser.renderInline(markdown(text)) == text


@given(hostile, hostile)
def test_a_link_holds_its_text_and_its_address(text: str, rest: str) -> None:
    (cell,) = cells(f"| {markdown_link(f'x{text}x', f'https://siem.example/{rest}')} |\n| --- |\n")
    assert [token.type for token in cell if token.type != "text"] == ["link_open", "link_close"]
    assert "".join(token.content for token in cell) == visible(f"x{text}x")
    assert str(cell[0].attrs["href"]).startswith("https://siem.example/")


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "JaVaScRiPt://x", "data:text/html,x", "file:///etc/passwd", "//evil", "", None, "http://["],
)
def test_only_an_address_of_the_web_becomes_a_link(url: str | None) -> None:
    assert web_address(url) is None
    assert markdown_link("title", url) == "title"


@given(hostile)
def test_an_address_has_no_character_that_ends_a_cell_or_a_tag(rest: str) -> None:
    address = web_address(f"https://siem.example/{rest}")
    assert address is not None
    assert not set(address) & set('<>|"`\\ \n\t\r')
    assert address.isascii()
    assert urlsplit(address).netloc == "siem.example"
