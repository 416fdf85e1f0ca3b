"""Text that attackers wrote, made safe for the place where people read it. The one place that escapes.

Commands, host names, file names, rule titles and ids come from targets and backends. Each function is for one kind of
place, and all of them first make visible what a terminal would obey or a reader would not see.
"""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote, urlsplit

__all__ = ["csv_cell", "json_text", "markdown", "markdown_link", "shortened", "visible", "web_address"]

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet may compute; with the full-width forms that some read as the narrow ones."""

_MARKUP = re.compile(r"[\\`*_{}\[\]#!&<>|~$^]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BY_BACKSLASH = frozenset("\\`*_{}[]#!")
"""Every dialect of Markdown takes a backslash before these; before others some show it."""

_IN_ADDRESS = ":/?#@!$&'()*+,;=%-._~[]"


def visible(text: str, *, keep: str = "") -> str:
    """One printable line: control characters, bidi overrides, invisible and line-breaking characters written out.

    Args:
        text: anything; an escape sequence in it moves no cursor afterwards, and no text runs backwards.
        keep: characters that may stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def shortened(text: str, length: int) -> str:
    """At most so many characters, with an ellipsis for the rest. Shorten first, escape then."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def json_text(text: str) -> str:
    r"""The same JSON with every character that a terminal may obey as ``\u....``: parsers read the same values."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else _as_json(one) for one in text)


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def csv_cell(text: str) -> str:
    """The text of a CSV cell that no spreadsheet takes for a formula; line breaks and tabs stay.

    A cell that would begin a formula, also behind blanks, gets an apostrophe in front. Quoting is the writer's part.
    """
    shown = visible(text, keep="\t\r\n")
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) else shown


def markdown(text: str) -> str:
    """Text that stays text in a cell or inside a line of Markdown, and in HTML: no markup, no link, no second line."""
    return _MARKUP.sub(lambda found: _as_markdown(found[0]), visible(text))


def _as_markdown(character: str) -> str:
    return f"\\{character}" if character in _BY_BACKSLASH else f"&#{ord(character)};"


def markdown_link(text: str, url: str | None) -> str:
    """The text as a link if the address is one that a reader may follow, else the text alone."""
    address = web_address(url)
    return f"[{markdown(text)}](<{escape(address)}>)" if address else markdown(text)


def web_address(url: str | None) -> str | None:
    """The address, percent-encoded, if it leads to a web page; ``None`` for ``javascript:`` and all the rest."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    return quote(parts.geturl(), safe=_IN_ADDRESS, errors="replace")
