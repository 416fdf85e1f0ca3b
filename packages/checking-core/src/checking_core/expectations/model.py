"""The format of an expectations file. Key by key: docs/reference/expectations.md.

``expectations.schema.json`` beside this module is ``schema()``, for editors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from checking_core.contracts.detection_config import (
    AlertQuestion,
    DetectionConfig,
    RanIf,
    SearchQuestion,
    Seconds,
    Text,
)
from checking_core.contracts.text import BACKEND_NAME

__all__ = [
    "OWN_KEYS",
    "SECTIONS",
    "ExpectationsFile",
    "Header",
    "When",
    "WrittenConfig",
    "WrittenExpectation",
    "schema",
]

_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

BackendName: TypeAlias = Annotated[str, Field(pattern=f"^{BACKEND_NAME}$")]


def _listed(value: Any) -> Any:
    """One value is a list of one."""
    return [value] if isinstance(value, str) else value


OneOrMore: TypeAlias = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        }
    ),
]


class When(BaseModel):
    """The executions an expectation is about. Every key given must hold; of a list, one entry must."""

    model_config = ConfigDict(**_STRICT, json_schema_extra={"minProperties": 1})

    ability: OneOrMore = ()
    """The id of the procedure (Caldera: ability id)."""
    procedure: OneOrMore = ()
    """The name of the procedure; * and ? stand for anything, case does not count."""
    command: OneOrMore = ()
    """Regular expression, searched in the command as run and in its plain text."""
    technique: OneOrMore = ()
    """ATT&CK technique; T1003 includes its sub-techniques."""
    tactic: OneOrMore = ()
    """ATT&CK tactic, for example credential-access."""
    platform: OneOrMore = ()
    """Operating system: windows, linux, darwin."""
    host: OneOrMore = ()
    """Host name, full or short; * and ? stand for anything, case does not count."""
    agent: OneOrMore = ()
    """Id of the agent (Caldera: paw); * and ? stand for anything, case does not count."""
    operation: OneOrMore = ()
    """Name of the operation; * and ? stand for anything, case does not count."""

    @field_validator("command")
    @classmethod
    def _compiles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                message = "is no regular expression: {problem}; mend the pattern"
                raise PydanticCustomError("bad_regex", message, {"problem": str(error)}) from None
        return value

    @field_validator("technique")
    @classmethod
    def _is_technique(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if all(re.fullmatch(r"[Tt]\d{4}(\.\d{3})?", text) for text in value):
            return value
        raise ValueError("is no ATT&CK technique; write T1003 or T1003.001")

    @model_validator(mode="after")
    def _names_something(self) -> When:
        if not self.model_fields_set:
            raise ValueError(f"names no execution; give at least one of {', '.join(type(self).model_fields)}")
        return self


class _StrictAlert(AlertQuestion):
    model_config = _STRICT


class _StrictSearch(SearchQuestion):
    model_config = _STRICT


class _StrictRanIf(RanIf):
    model_config = _STRICT


class WrittenConfig(DetectionConfig):
    """How a backend is asked, as a person writes it: the keys of a ``detection_config``, and no others."""

    model_config = _STRICT

    alert: _StrictAlert | None = None
    rule: _StrictSearch | None = None
    telemetry: _StrictSearch | None = None
    alive: _StrictSearch | None = None
    ran_if: _StrictRanIf | None = None

    query: Text | None = None
    """Original form of rule.query."""
    command: Text | None = None
    """Original form of rule.query, for agents."""
    query_language: str | None = None
    """Original form of rule.language."""
    settle: Seconds = None
    jitter: Seconds = None
    """Original name of settle."""

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> Self:
        for choices in (("backend", "backends"), ("rule", "sigma", "query", "command"), ("settle", "jitter")):
            given = [name for name in choices if name in self.model_fields_set]
            if len(given) > 1:
                raise ValueError(f"{given[1]}: says the same as {given[0]}; keep one of them")
        return self


class WrittenExpectation(WrittenConfig):
    """One expectation: for which executions, on which backends, what should be seen, and how to ask for it."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")
    """Its name for good: history and diff follow it. Unique over all files."""
    when: When
    backend: BackendName | None = None
    """The configured backend to ask."""
    backends: tuple[BackendName, ...] | None = Field(default=None, min_length=1)
    """Several backends: one check on each."""
    max_retries: int | None = Field(default=None, ge=0, le=100)
    """How often a transient error is tried again inside one look."""

    @property
    def named_backends(self) -> tuple[str, ...]:
        """The backends this expectation names itself."""
        return self.backends or ((self.backend,) if self.backend else ())


OWN_KEYS = frozenset({"id", "when", "backend", "backends", "max_retries"})
"""Keys that stay with the server; all others are the check's ``detection_config``."""

SECTIONS: dict[str, type[BaseModel]] = {
    "when": When,
    "alert": _StrictAlert,
    "rule": _StrictSearch,
    "telemetry": _StrictSearch,
    "alive": _StrictSearch,
    "ran_if": _StrictRanIf,
}
"""Keys of an expectation that have keys of their own."""


class Header(BaseModel):
    """The top of a file, its expectations not looked at yet: one that is wrong must not hide the others."""

    model_config = _STRICT

    version: Literal[1]
    """Version of this format."""
    backends_default: tuple[BackendName, ...] = ()
    """Backends of the expectations that name none."""
    expectations: list[Any]


class ExpectationsFile(Header):
    """What people write: which outcome is wanted, on which backend, for which executions."""

    expectations: list[WrittenExpectation]


def schema() -> dict[str, Any]:
    """The JSON Schema of an expectations file, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ExpectationsFile.model_json_schema(),
        "title": "Expectations of Checking",
    }
