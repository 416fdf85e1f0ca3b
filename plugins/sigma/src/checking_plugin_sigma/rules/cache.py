"""Compiled rules on disk: pySigma needs seconds for a large set, a compiled one is read in milliseconds.

The name of an entry is a digest of what it was compiled from and with: an entry is never wrong, only unused.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from checking_plugin_sigma.rules.model import RuleSet

__all__ = ["RuleCache", "default_folder"]

_FORMAT = 3
_MOST_ENTRIES = 64
_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(RuleSet)


class RuleCache:
    """A folder of compiled rule sets. Where it cannot be written to, rules are compiled each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def key(texts: Mapping[str, str], placeholders: Mapping[str, Sequence[str]]) -> str:
        """The name of what is compiled from these texts."""
        parts: list[Any] = [_FORMAT, _versions(), sorted(texts.items()), sorted(placeholders.items())]
        return hashlib.sha256(_ENCODER.encode(parts)).hexdigest()

    def get(self, key: str) -> RuleSet | None:
        """What is kept under a name; ``None`` for nothing, or for what another version wrote."""
        try:
            return _DECODER.decode((self._folder / f"{key}.msgpack").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, key: str, rules: RuleSet) -> None:
        """Keep a compiled set; the oldest entries make room."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_ENCODER.encode(rules))
            Path(name).replace(self._folder / f"{key}.msgpack")
            self._make_room()

    def _make_room(self) -> None:
        entries = sorted(self._folder.glob("*.msgpack"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in entries[_MOST_ENTRIES:]:
            entry.unlink(missing_ok=True)


def default_folder() -> Path:
    """Where caches of this user belong."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "checking" / "sigma"


@cache
def _versions() -> tuple[str, ...]:
    return tuple(_version(name) for name in ("checking-plugin-sigma", "pysigma"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
