"""Recorded attacks of a clone of Security-Datasets, as an operation: one execution for each that is labelled.

A label names the technique and no times, so an execution lasts from the first to the last event of its recording, on
all the hosts in it. Every recording lies at a time of its own, which tells one from the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import yaml

from checking_core.errors import BackendUnreachableError, ConfigurationError
from checking_plugin_sigma.evaluate.scan import events_of
from checking_plugin_sigma.events.instant import collected_of, utc_of
from checking_plugin_sigma.events.reader import Reader

__all__ = ["Datasets", "read_datasets"]

_SPACE = UUID("f0c3a4de-3c1b-4a55-9c0e-7b1f6a2d5e33")
_METADATA = Path("datasets") / "atomic" / "_metadata"
_NAME = "Recorded attacks"


class Datasets(msgspec.Struct, frozen=True, kw_only=True):
    """What can be judged.

    Attributes:
        messages: one for each technique of a recording.
        expectations: one for each message: a rule of its technique hits.
        files: the recordings.
        left_out: labelled recordings whose file is absent, unreadable, or tells no time that can be trusted.
    """

    messages: Sequence[dict[str, Any]]
    expectations: Sequence[dict[str, Any]]
    files: Sequence[Path]
    left_out: Sequence[str]


class _Label(msgspec.Struct, frozen=True):
    id: str
    title: str
    techniques: Sequence[str]
    file: Path


class _Span(msgspec.Struct, frozen=True):
    first: datetime
    last: datetime
    hosts: Sequence[str]


def read_datasets(folder: Path) -> Datasets:
    """The labelled recordings of a clone.

    Raises:
        ConfigurationError: it holds none.
    """
    found = list(_labels(folder))
    if not found:
        raise ConfigurationError(
            f"{folder} is no clone of Security-Datasets: it holds no label in {_METADATA} with a host's recording; "
            "any other telemetry is for checking sigma scan"
        )
    spans = {label.file: _span(label.file) for label in found}
    judged = [(label, span) for label in found if (span := spans[label.file]) is not None]
    if not judged:
        raise ConfigurationError(f"{folder}: no recording can be read; are its files fetched?")
    begun = min(span.first for _, span in judged)
    pairs = [(label, span, technique) for label, span in judged for technique in label.techniques]
    return Datasets(
        messages=[_message(number, begun, *pair) for number, pair in enumerate(pairs, 1)],
        expectations=[_expectation(*pair) for pair in pairs],
        files=sorted({label.file for label, _ in judged}),
        left_out=[label.id for label in found if spans[label.file] is None],
    )


def _labels(folder: Path) -> Iterator[_Label]:
    for file in sorted((folder / _METADATA).glob("*.yaml")):
        try:
            told = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}") from error
        if isinstance(told, dict):
            yield from _labelled(told, file.stem, folder)


def _labelled(told: Mapping[str, Any], name: str, folder: Path) -> Iterator[_Label]:
    techniques = [_technique(mapping) for mapping in told.get("attack_mappings") or ()]
    hosts = [file for file in told.get("files") or () if file.get("type") == "Host"]
    for number, file in enumerate(hosts if techniques else (), 1):
        place = str(file.get("link", "")).partition("/datasets/")[2]
        title, identity = str(told.get("title", name)), str(told.get("id", name))
        one = identity if number == 1 else f"{identity}-{number}"
        yield _Label(one, title, tuple(dict.fromkeys(techniques)), folder / "datasets" / place)


def _technique(mapping: Mapping[str, Any]) -> str:
    sub = str(mapping.get("sub-technique") or "")
    return f"{mapping.get('technique')}.{sub}" if sub.isdigit() else str(mapping.get("technique"))


def _span(file: Path) -> _Span | None:
    """When and where a recording happened, by the times that can be trusted."""
    hosts: Counter[str] = Counter()
    moments: list[datetime] = []
    try:
        for events in events_of(Reader(file), None, None):
            hosts.update(event.host for event in events if event.host)
            known = (utc_of(event.fields) for event in events)
            times = [moment for moment in known if moment] or [
                moment for event in events if (moment := collected_of(event.fields, None))
            ]
            moments += (min(times), max(times)) if times else ()
    except BackendUnreachableError:
        return None
    if not (hosts and moments):
        return None
    return _Span(min(moments), max(moments), [host for host, _ in hosts.most_common()])


def _message(number: int, begun: datetime, label: _Label, span: _Span, technique: str) -> dict[str, Any]:
    return {
        "message_type": "link_result",
        "timestamp": span.last.isoformat(),
        "operation": {
            "operation_id": str(uuid5(_SPACE, begun.isoformat())),
            "name": _NAME,
            "operation_start": begun.isoformat(),
            "state": "finished",
        },
        "execution": {
            "link_id": str(uuid5(_SPACE, f"{label.id}.{technique}")),
            "agent_host": span.hosts[0],
            "command": "",
            "platform": "linux" if "linux" in label.file.parts else "windows",
            "status": 0,
            "collect": span.first.isoformat(),
            "finish": span.last.isoformat(),
            "order": number,
            "ability": {"ability_id": f"{label.id}.{technique}", "name": label.title, "technique_id": technique},
        },
    }


def _expectation(label: _Label, span: _Span, technique: str) -> dict[str, Any]:
    """A rule of the technique hits what is in the recording, on whichever of its hosts."""
    return {
        "id": f"{label.id}.{technique}",
        "when": {"ability": f"{label.id}.{technique}"},
        "sigma": f"attack.{technique.lower()}",
        "files": escape(label.file.name),
        "match": {"aliases": list(span.hosts)},
        "before_reported_time": 0,
        "after_reported_time": 0,
        "control": False,
    }
