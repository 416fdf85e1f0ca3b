"""How settings are read and shown: the environment, then ``.env``, then the default; errors in one line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from checking_core.errors import ConfigurationError
from checking_core.log.redact import MASK, is_secret, masked

__all__ = ["ENVIRONMENT", "Origin", "Setting", "describe", "problem_of", "read", "variables_of"]

ENVIRONMENT = SettingsConfigDict(
    env_prefix="CHECKING_",
    env_file=".env",
    env_file_encoding="utf-8",
    extra="ignore",
    frozen=True,
    populate_by_name=True,
    env_ignore_empty=True,
)
"""What every settings class of ours shares. An empty variable is one that is not set."""

S = TypeVar("S", bound=BaseSettings)


class Origin(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    FILE = "file"


class Setting(NamedTuple):
    """One effective setting as a person may see it: secrets are masked."""

    variable: str
    value: str
    origin: Origin


def read(kind: type[S]) -> S:
    """The settings of a class, from the environment and ``.env``.

    Raises:
        ConfigurationError: one line with the variable, the problem and the remedy, never the value.
    """
    try:
        return kind()
    except ValidationError as error:
        raise ConfigurationError(_told(kind, error)) from None
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        variable = _variable(kind, named[1]) if named else kind.__name__
        raise ConfigurationError(f"{variable}: is no JSON; correct it, or remove it") from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f".env: cannot be read ({type(error).__name__}); save it as UTF-8 text") from None


def describe(settings: BaseSettings) -> list[Setting]:
    """Every setting of an instance, in the order of the class, with the variable that sets it."""
    kind = type(settings)
    return [
        Setting(variable, _shown(variable, getattr(settings, name)), _origin(settings, name))
        for name in kind.model_fields
        for variable in [_variable(kind, name)]
    ]


def variables_of(kind: type[BaseSettings], name: str) -> tuple[str, ...]:
    """The variables that set a field: ours first, then those of the original system."""
    alias = kind.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),) if alias else (f"{kind.model_config.get('env_prefix', '')}{name}".upper(),)


def problem_of(error: ValidationError, *, skip: int = 0) -> str:
    """What is wrong, of the first error: ``where.inside: problem``.

    Args:
        error: of pydantic.
        skip: parts of the location that are told already.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"][skip:] if part != "[key]")
    problem = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
    problem = problem.replace("Input should", "should").replace("Extra inputs are", "is")
    return f"{where}: {problem}" if where else problem


def _told(kind: type[BaseSettings], error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    named = str(first["loc"][0]) if first["loc"] else ""
    field = next((name for name in kind.model_fields if named in (name, *variables_of(kind, name))), None)
    if field is None:
        return f"{kind.__name__}: {problem_of(error)}"
    variable = _variable(kind, field)
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{variable}: is not set; set it in the environment or in .env"
    default = _shown(variable, kind.model_fields[field].get_default(call_default_factory=True, validated_data={}))
    return f"{variable}: {problem_of(error, skip=1)}; correct it, or remove it for the default ({default})"


def _variable(kind: type[BaseSettings], name: str) -> str:
    """The variable that sets a field now, or the one that would."""
    names = variables_of(kind, name)
    return next(
        (variable for told in _told_variables(kind) for variable in names if variable.upper() in told), names[0]
    )


def _told_variables(kind: type[BaseSettings]) -> list[set[str]]:
    """Names that are set in the environment, and those in the file. An empty value counts for nothing."""
    file = kind.model_config.get("env_file")
    stored = dotenv_values(str(file), encoding="utf-8") if file else {}
    return [_set_names(os.environ.items()), _set_names(stored.items())]


def _set_names(items: Iterable[tuple[str, str | None]]) -> set[str]:
    return {name.upper() for name, value in items if value}


def _origin(settings: BaseSettings, name: str) -> Origin:
    if name not in settings.model_fields_set:
        return Origin.DEFAULT
    environment, _ = _told_variables(type(settings))
    told = any(variable.upper() in environment for variable in variables_of(type(settings), name))
    return Origin.ENVIRONMENT if told else Origin.FILE


def _shown(variable: str, value: Any) -> str:
    """A value as text. A secret that is a URL shows everything but its password."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return masked(text) if "://" in text else MASK
    return MASK if value and is_secret(variable) else masked(_text(value))


def _text(value: Any) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value, default=_plain) if value else "none"
    if isinstance(value, set | frozenset):
        value = tuple(sorted(value))
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple | list) else str(value)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else str(value)
