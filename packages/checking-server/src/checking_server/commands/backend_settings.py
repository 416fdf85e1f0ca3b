"""The settings of a backend's detector, as a person may see them."""

from __future__ import annotations

from types import new_class
from typing import cast

from pydantic_settings import BaseSettings

from checking_core.plugin import BaseWorker
from checking_core.settings import Setting, describe

__all__ = ["settings_of"]


def settings_of(detector: BaseWorker, prefix: str | None) -> list[Setting]:
    """Its settings, masked, under the names of the variables that set them for this backend.

    Args:
        detector: of the backend.
        prefix: the backend's own prefix of variables, if it has one.
    """
    if prefix is None:
        return describe(detector.settings)
    own = type(detector.settings)
    named = cast("type[BaseSettings]", new_class(own.__name__, (own,), {"env_prefix": prefix}))
    return describe(named.model_construct(detector.settings.model_fields_set, **dict(detector.settings)))
