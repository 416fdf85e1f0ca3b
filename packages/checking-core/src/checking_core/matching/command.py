r"""Whether two command lines are one. Pure.

A sensor rarely shows a command as the red team wrote it: ``whoami /all`` becomes
``"C:\Windows\system32\whoami.exe" /all``, or ``powershell -ExecutionPolicy Bypass -C whoami /all``, or base64 inside of
that; line breaks get lost. So commands are compared whole, by their words, and never as text within text: ``id`` is in
``cat /etc/hidden`` too.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

__all__ = ["Commands"]

Words: TypeAlias = tuple[str, ...]

MAX_LENGTH = 32 * 1024
"""Characters of a command that are looked at."""
MAX_STEPS = 200
"""Steps of a script that are told apart."""
MAX_SHELLS = 9
"""Shells that are told to run each other, and the command in the last of them."""

_WORD = re.compile(r"[^\s\"'`^]+")
_REDIRECTION = re.compile(r"[\d&*]?>{1,2}\s*(?:&\d|[^\s;|&]+)")
_BETWEEN_STEPS = re.compile(r"\r\n|\r|\n|&&|\|\||[;|&]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}")
_SPEAKS_OF_ENCODING = re.compile(
    r"(?:^|\s)[-/\u2013\u2014]e(?:c|n|nc[a-z]*)?(?=[\s:])|base-?64|b64|certutil|openssl", re.IGNORECASE
)
_PROGRAM_WITH_SPACES = re.compile(
    r"""\s*(?:"((?:[a-z]:)?[\\/][^"]+)"|'((?:[a-z]:)?[\\/][^']+)'"""
    r"""|([a-z]:\\(?:[^\\/:"']+\\)+[^\\/:"'\s]+\.(?:exe|com|bat|cmd))(?=\s|$))"""
)
"""In quotes, or below a folder such as ``C:\\Program Files``."""
_PROGRAM = re.compile(r"(?:.*[\\/])?([^\\/]+?)(?:\.(?:exe|com|bat|cmd))?", re.DOTALL)
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "cmd", "powershell", "pwsh"})
_RUNS_THE_REST = frozenset({"-c", "/c", "/k", "/r", "-command", "/command", "-lc", "-ec"})


class Commands(msgspec.Struct, frozen=True):
    """What an execution ran, in all its forms.

    ``whole`` are the forms of the command in words, ``steps`` those that a script consists of, ``texts`` the forms
    without any space, quote or line break.
    """

    whole: frozenset[Words]
    steps: frozenset[Words]
    texts: frozenset[str]

    @classmethod
    def of(cls, *texts: str | None) -> Commands:
        """From a command as run and in plain text; what a shell is told to run, or is encoded, is read too."""
        forms = [form for text in texts if text for form in _forms(text)]
        steps = (_words(step) for form in forms for step in _steps(form))
        return cls(
            whole=frozenset(words for form in forms for words in _unwrapped(_words(form))),
            steps=frozenset(words for step in steps for words in _unwrapped(step) if not _is_bare_shell(words)),
            texts=frozenset(text for form in forms if (text := _squeezed(form))),
        )

    def same_as(self, text: str) -> bool:
        """Whether a record's command line is this command, a shell that was told to run it, or one of its steps."""
        ours = self.whole | self.steps
        return any(
            _squeezed(form) in self.texts or not ours.isdisjoint(_unwrapped(_words(form))) for form in _forms(text)
        )


def _is_bare_shell(words: Words) -> bool:
    """``curl … | sh`` has a step that anybody may start."""
    return len(words) == 1 and words[0] in _SHELLS


def _steps(script: str) -> list[str]:
    """What a shell starts one by one. It opens the files of a redirection itself: the child's command has none."""
    return _BETWEEN_STEPS.split(_REDIRECTION.sub(" ", script), MAX_STEPS)


def _words(text: str) -> Words:
    """The words of a command line without quotes and case, its program without folder and extension."""
    plain = text.casefold()
    program = _PROGRAM_WITH_SPACES.match(plain)
    if program is None:
        return _program_first(tuple(_WORD.findall(plain)))
    return _program_first((next(filter(None, program.groups())), *_WORD.findall(plain[program.end() :])))


def _program_first(words: Words) -> Words:
    found = _PROGRAM.fullmatch(words[0]) if words else None
    return (found[1], *words[1:]) if found else words


def _unwrapped(words: Words) -> Iterator[Words]:
    """The words and, where they are a shell with something to run, what it is to run."""
    for _ in range(MAX_SHELLS):
        if not words:
            return
        yield words
        rest = next((place for place, word in enumerate(words) if word in _RUNS_THE_REST), len(words))
        words = _program_first(words[rest + 1 :]) if words[0] in _SHELLS else ()


def _squeezed(text: str) -> str:
    return "".join(_WORD.findall(text.casefold()))


def _forms(text: str) -> Iterator[str]:
    """The text and, where it is or says that it has some, every readable text that is encoded in it."""
    text = text[:MAX_LENGTH]
    yield text
    if not (_SPEAKS_OF_ENCODING.search(text) or _BASE64.fullmatch(text.strip().rstrip("="))):
        return  # a token has the same beginning as every other one of its issuer
    for found in _BASE64.finditer(text):
        if decoded := _decoded(found[0]):
            yield decoded


def _decoded(text: str) -> str | None:
    """What base64 hides: UTF-16 as PowerShell wants it, or UTF-8; ``None`` where it is no text."""
    try:
        raw = base64.b64decode(f"{text}==")  # more padding than is needed does no harm
    except binascii.Error:
        return None
    try:
        decoded = raw.decode("utf-16-le" if b"\0" in raw else "utf-8")
    except UnicodeDecodeError:
        return None
    return decoded if all(char.isprintable() or char.isspace() for char in decoded) else None
