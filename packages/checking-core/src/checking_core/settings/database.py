"""Where the store is."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from checking_core.settings.environment import ENVIRONMENT

__all__ = ["DatabaseSettings"]

_SCHEME = re.compile(r"(postgres(?:ql)?(?:\+asyncpg)?|sqlite(?:\+aiosqlite)?)(?=:///?)")
_WRITE_IT_SO = "write postgresql://user:password@host:5432/database or sqlite:///file.db"
_DRIVERS = {"p": "postgresql+asyncpg", "s": "sqlite+aiosqlite"}


class DatabaseSettings(BaseSettings):
    """Where the store is. Without a URL: SQLite in the working folder, the embedded default."""

    model_config = ENVIRONMENT

    url: SecretStr = Field(
        default=SecretStr("sqlite:///checking.db"),
        validation_alias=AliasChoices("CHECKING_DATABASE_URL", "DATABASE_URL"),
        description="The database: a file of SQLite or a database of PostgreSQL",
    )

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if not _SCHEME.match(text):
            raise ValueError(_WRITE_IT_SO)
        place = urlsplit(text)
        if text.startswith("postgres") and (_is_broken(place) or "/" in place.path[1:] or "@" in place.path):
            raise ValueError(f"{_WRITE_IT_SO}; percent-encode what a password has of / @ : ? # and %")
        if text.startswith("sqlite") and text.partition("://")[2].partition("?")[0] in ("", "/", "/:memory:"):
            raise ValueError("names no file; readers and the writer share one, so write sqlite:///file.db")
        return url

    @property
    def async_url(self) -> str:
        """The URL with the driver we use, ``sslmode`` in that driver's spelling. Holds the password."""
        url = _SCHEME.sub(lambda found: _DRIVERS[found[0][0]], self.url.get_secret_value(), count=1)
        return re.sub(r"(?<=[?&])sslmode=", "ssl=", url)


def _is_broken(place: SplitResult) -> bool:
    """Whether its host or port cannot be read: where a password is not encoded, a part of it stands there."""
    try:
        return place.port == 0 or (place.netloc != "" and place.hostname is None and "@" in place.netloc)
    except ValueError:
        return True
