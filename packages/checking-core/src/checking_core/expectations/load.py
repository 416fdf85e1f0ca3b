"""Expectations from files: read, validated, compiled, each with the file and line where it stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any

import msgspec
from pydantic import ValidationError

from checking_core.contracts import DetectionConfig, canonical_config
from checking_core.contracts.attack_renames import RENAMED
from checking_core.expectations.document import Document, Path, read_document
from checking_core.expectations.model import OWN_KEYS, Header, WrittenExpectation
from checking_core.expectations.problem import ExpectationsError, LintCode, LintMessage
from checking_core.expectations.validation import problems_of
from checking_core.expectations.when import Condition, compile_when

__all__ = ["Expectation", "Expectations", "Reading", "Written", "load", "read", "unknown_backends"]

MAX_FILE = 4 * 1024 * 1024
"""Bytes of one file."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation, ready to plan with. ``config`` is canonical and as written, without defaults."""

    id: str
    file: str
    line: int
    condition: Condition
    backends: tuple[str, ...]
    config: dict[str, Any]
    question: DetectionConfig
    max_retries: int | None


class Expectations(msgspec.Struct, frozen=True):
    """All expectations of a deployment, and the techniques that ATT&CK has renamed (old id to new)."""

    items: tuple[Expectation, ...] = ()
    renamed: Mapping[str, str] = RENAMED


class Written(msgspec.Struct, frozen=True):
    """An expectation and where it stands, for messages that point at one of its keys."""

    expectation: Expectation
    data: Mapping[str, Any]
    document: Document
    path: Path

    def backend_path(self, index: int) -> Path:
        """Where the name of a backend stands: with the expectation, or at the top of the file."""
        if "backend" in self.data:
            return (*self.path, "backend")
        return (*self.path, "backends", index) if "backends" in self.data else ("backends_default", index)

    def message(self, path: Path, code: LintCode, message: str, remedy: str) -> LintMessage:
        """A problem at a place of its document."""
        return LintMessage(
            file=self.document.file, line=self.document.line(path), code=code, message=message, remedy=remedy
        )


class Reading(msgspec.Struct):
    """All that was found in some files, right and wrong."""

    written: list[Written] = []
    problems: list[LintMessage] = []


def load(
    paths: Sequence[FilePath],
    *,
    renamed: Mapping[str, str] = RENAMED,
    plugin_keys: Collection[str] = (),
    backends: Collection[str] | None = None,
) -> Expectations:
    """The expectations of files, and of all ``*.yml`` and ``*.yaml`` directly in folders.

    Args:
        paths: files and folders; a file reached twice is read once.
        renamed: old to new technique ids, followed on both sides; ATT&CK's own unless told otherwise.
        plugin_keys: further keys of an expectation, from the configurations of installed plugins.
        backends: names of the configured ones; another is refused. ``None``: any may be named.

    Raises:
        ConfigurationError: something cannot be used; ``file:line: field: problem; remedy`` of the first such thing.
    """
    reading = read(paths, renamed=renamed, plugin_keys=plugin_keys)
    if backends is not None:
        reading.problems += [problem for item in reading.written for problem in unknown_backends(item, backends)]
    if reading.problems:
        raise ExpectationsError(*reading.problems)
    return Expectations(tuple(written.expectation for written in reading.written), renamed)


def read(
    paths: Sequence[FilePath], *, renamed: Mapping[str, str] = RENAMED, plugin_keys: Collection[str] = ()
) -> Reading:
    """As ``load``, but every problem is told and everything that can be used is returned."""
    reading = Reading()
    for path in _files(paths, reading.problems):
        try:
            document = read_document(str(path), _body(path))
        except ExpectationsError as error:
            reading.problems.extend(error.problems)
            continue
        _FileReader(document, reading, renamed, frozenset(plugin_keys)).read()
    reading.problems.extend(_duplicates(reading.written))
    return reading


def unknown_backends(written: Written, backends: Collection[str]) -> Iterator[LintMessage]:
    """The backends of an expectation that are not among these, each with the nearest that is."""
    for index, name in enumerate(written.expectation.backends):
        if name not in backends:
            near = get_close_matches(name, backends, n=1)
            known = ", ".join(sorted(backends)) or "none is configured yet"
            remedy = f"did you mean {near[0]}?" if near else f"use one of: {known}"
            yield written.message(
                written.backend_path(index), LintCode.UNKNOWN_BACKEND, f"backend: {name} is not configured", remedy
            )


def _files(paths: Sequence[FilePath], problems: list[LintMessage]) -> Iterator[FilePath]:
    seen: set[FilePath] = set()
    for path in paths:
        found = sorted(item for item in path.iterdir() if item.suffix in (".yml", ".yaml")) if path.is_dir() else [path]
        if not found:
            problems.append(_unreadable(path, "holds no *.yml and no *.yaml", "name the folder of the expectations"))
        for file in found:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _body(path: FilePath) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ExpectationsError(_unreadable(path, f"cannot be read: {error.strerror}", "name a file")) from None
    if len(body) > MAX_FILE:
        raise ExpectationsError(_unreadable(path, f"has more than {MAX_FILE} bytes", "split it into several files"))
    return body


def _unreadable(path: FilePath, message: str, remedy: str) -> LintMessage:
    return LintMessage(file=str(path), line=1, code=LintCode.UNREADABLE, message=message, remedy=remedy)


def _duplicates(written: Sequence[Written]) -> Iterator[LintMessage]:
    first: dict[str, Expectation] = {}
    for item in written:
        known = first.setdefault(item.expectation.id, item.expectation)
        if known is not item.expectation:
            problem = f"id: {known.id} is used already at {known.file}:{known.line}"
            yield item.message(
                (*item.path, "id"), LintCode.DUPLICATE_ID, problem, "give this one its own: history follows the id"
            )


class _FileReader:
    """Reads one document into a ``Reading``: one expectation that is wrong does not hide the others."""

    def __init__(
        self, document: Document, reading: Reading, renamed: Mapping[str, str], plugin_keys: frozenset[str]
    ) -> None:
        self.document = document
        self.reading = reading
        self.renamed = renamed
        self.plugin_keys = plugin_keys
        self.keys = WrittenExpectation.model_fields.keys() | plugin_keys

    def read(self) -> None:
        default = self.default_backends()
        value = self.document.value
        entries = value.get("expectations") if isinstance(value, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            try:
                self.entry(entry, ("expectations", index), default)
            except ValidationError as error:
                self.reading.problems.extend(problems_of(error, self.document, ("expectations", index), self.keys))

    def default_backends(self) -> tuple[str, ...]:
        try:
            return Header.model_validate(self.document.value).backends_default
        except ValidationError as error:
            self.reading.problems.extend(problems_of(error, self.document, (), Header.model_fields))
            return ()

    def entry(self, entry: Any, path: Path, default: tuple[str, ...]) -> None:
        own = _without(entry, self.plugin_keys) if isinstance(entry, dict) else entry
        model = WrittenExpectation.model_validate(own)
        config = canonical_config(_without(entry, OWN_KEYS))
        expectation = Expectation(
            id=model.id,
            file=self.document.file,
            line=self.document.line(path),
            condition=compile_when(model.when, self.renamed),
            backends=model.named_backends or default,
            config=config,
            question=DetectionConfig.model_validate(config),
            max_retries=model.max_retries,
        )
        written = Written(expectation, entry, self.document, path)
        self.reading.written.append(written)
        if not expectation.backends:
            remedy = "name one, or set backends_default"
            self.reading.problems.append(written.message(path, LintCode.SCHEMA, "backend: is missing", remedy))


def _without(entry: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in keys}
