"""``checking openapi``: the description of the API, for programs that make clients of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["openapi"]


def openapi(
    *, output: Annotated[Path | None, Parameter(help="File to write, instead of standard output.")] = None
) -> None:
    """Write the OpenAPI 3.1 description of the API, without a server."""
    from checking_core.errors import ConfigurationError
    from checking_server.api.app import openapi_spec

    text = json.dumps(openapi_spec(), indent=2, sort_keys=True) + "\n"
    if output is None:
        print(text, end="")
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
