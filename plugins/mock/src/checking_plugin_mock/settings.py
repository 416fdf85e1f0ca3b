"""The scenario: which step gets which reply. ``CHECKING_MOCK_SCENARIO`` names a YAML file; see README.md."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from checking_core import ExecutionContext
from checking_core.contracts import Reason


class NearMissScene(BaseModel, extra="forbid", frozen=True):
    """An alert that is found and rejected: why, what it says, and when, in seconds after the start of the step."""

    reason: Reason
    title: str = ""
    host: str | None = None  # the step's own
    after_seconds: float = 0


class Scene(BaseModel, extra="forbid", frozen=True):
    """The reply to every step that fits. What is not given fits any step and spoils no reply."""

    command: re.Pattern[str] | None = None  # found anywhere in the command, as run or in plain text
    host: str | None = None
    technique: str | None = None
    answer: Literal["blocked", "alerted", "matched", "logged", "no_alert", "none", "silent", "fatal", "hang"] = "none"
    after_looks: int = 0  # looks that find nothing yet
    after_seconds: float = 0  # from the end of the step until there is something to find
    errors: int = 0  # attempts that fail first, as in a short outage
    near_misses: tuple[NearMissScene, ...] = ()
    partial: bool = False  # a part of the backend's data is away
    padding: int = 0  # characters added to the raw answer

    def fits(self, step: ExecutionContext) -> bool:
        """Whether this step is meant."""
        same = self.host in (None, step.agent_host) and self.technique in (None, step.technique_id)
        commands = f"{step.command}\n{step.plaintext_command}"
        return same and (self.command is None or self.command.search(commands) is not None)


def _read(value: object) -> object:
    return yaml.safe_load(Path(value).read_text(encoding="utf-8")) if isinstance(value, str | Path) else value


class MockSettings(BaseSettings):
    """The first scene that fits replies; where none does there is nothing to find."""

    model_config = SettingsConfigDict(env_prefix="CHECKING_MOCK_", env_file=".env", extra="ignore")
    scenario: Annotated[tuple[Scene, ...], NoDecode, BeforeValidator(_read)] = ()
