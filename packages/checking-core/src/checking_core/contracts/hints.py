"""The ``detections`` field of a message: hints by the ability's author, in four historical spellings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from checking_core.contracts.link_result import Hint
from checking_core.contracts.text import check_shape, clean
from checking_core.errors import RejectedMessageError

__all__ = ["has_secrets", "read_hints", "without_secrets"]

_MAX_LITERAL = 64 * 1024
_SECRET = re.compile(
    r"headers?$|authori[sz]ation|api[_-]?key|token|passw|secret|cookie|credential|^auth$", re.IGNORECASE
)


def read_hints(value: Any) -> tuple[Hint, ...]:
    """Every hint of a ``detections`` field; one that cannot be used carries its problem instead of vanishing.

    Accepts a list, JSON text of one, Python-literal text of one (Caldera's ``additional_info``), the older nested
    form ``{"api": {"siem": {...}}}``, and nothing at all.
    """
    if isinstance(value, str):
        try:
            value = _parse(value)
        except ValueError as error:
            return (Hint(problem=f"detections: {error}"),)
    if not value:
        return ()
    try:
        check_shape("detections", value)
    except RejectedMessageError as error:
        return (Hint(problem=str(error)),)
    return tuple(_hint(entry) for entry in _entries(clean(value)))


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration without anything that looks like a credential, at any depth."""
    return {
        key: without_secrets(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not _SECRET.search(key)
    }


def has_secrets(value: Any) -> bool:
    """Whether a ``detections`` field holds anything that ``without_secrets`` would drop."""
    if isinstance(value, str):
        return bool(re.search(_SECRET.pattern.replace("$", r"\b"), value, re.IGNORECASE))
    if isinstance(value, Mapping):
        return any(_SECRET.search(str(key)) or has_secrets_below(item) for key, item in value.items())
    return isinstance(value, list) and any(has_secrets(item) for item in value)


def has_secrets_below(value: Any) -> bool:
    """As ``has_secrets`` for the members of a structure, where plain text is a query and not a whole field."""
    return has_secrets(value) if isinstance(value, Mapping | list) else False


def _parse(text: str) -> Any:
    if not text.strip():
        return None
    if len(text) > _MAX_LITERAL:
        raise ValueError(f"text of more than {_MAX_LITERAL} characters")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("neither JSON nor a Python literal") from None


def _entries(value: Any) -> Iterator[Any]:
    """Entries of the list form; the nested form is unfolded into it."""
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict) and "detection_type" not in value:
        for group, members in value.items():
            yield from _unfold(str(group), members)
    else:
        yield value


def _unfold(group: str, members: Any) -> Iterator[Any]:
    if not isinstance(members, dict):
        yield members
        return
    for name, config in members.items():
        if not isinstance(config, dict):
            yield config
            continue
        kept = {key: item for key, item in config.items() if key not in ("platform", "max_retries")}
        yield {
            "detection_type": "api" if group == "api" else str(name),
            "detection_platform": config.get("platform"),
            "detection_config": kept,
            "max_retries": config.get("max_retries"),
        }


def _hint(entry: Any) -> Hint:
    if not isinstance(entry, dict):
        return Hint(problem="is no object with detection_type, detection_platform and detection_config")
    config = entry.get("detection_config")
    kind, platform = entry.get("detection_type"), entry.get("detection_platform")
    problem = None
    if not isinstance(config, dict):
        config, problem = {}, "detection_config: is no object"
    elif kind is not None and not isinstance(kind, str):
        problem = "detection_type: is no text"
    retries, retry_problem = _retries(entry.get("max_retries"))
    return Hint(
        detection_type=kind if isinstance(kind, str) else None,
        platform=platform if isinstance(platform, str) else None,
        config=without_secrets({str(key): item for key, item in config.items()}),
        max_retries=retries,
        problem=problem or retry_problem,
    )


def _retries(value: Any) -> tuple[int | None, str | None]:
    if value is None:
        return None, None
    try:
        number: int = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return None, "max_retries: is no whole number"
    return (number, None) if 0 <= number <= 100 else (None, "max_retries: is not between 0 and 100")
