"""A ``detection_config`` that a person wrote outside any file: as strict as one in a file, with the same words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from checking_core.contracts import canonical_config
from checking_core.errors import ConfigurationError
from checking_core.expectations.document import Document
from checking_core.expectations.model import WrittenConfig
from checking_core.expectations.validation import problems_of

__all__ = ["strict_config"]


def strict_config(config: Mapping[str, Any], *, plugin_keys: Collection[str] = ()) -> dict[str, Any]:
    """The canonical form of a configuration in which every key is known.

    Args:
        config: as written.
        plugin_keys: further keys, which the plugin that is asked reads itself.

    Raises:
        ConfigurationError: ``field: problem; remedy`` of the first thing that is wrong.
    """
    own = {key: value for key, value in config.items() if key not in plugin_keys}
    try:
        WrittenConfig.model_validate(own)
    except ValidationError as error:
        known = WrittenConfig.model_fields.keys() | set(plugin_keys)
        first = next(problems_of(error, Document.of("detection_config", own), (), known))
        raise ConfigurationError(f"detection_config: {first.message}; {first.remedy}") from None
    return canonical_config(config)
