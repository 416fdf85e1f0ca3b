"""Sigma rules as queries of a product, by a part of its plugin that only its extra ``convert`` makes work."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from checking_core.contracts import Reason
from checking_core.errors import FatalDetectionError

__all__ = ["converted"]


def converted(sigma: str | dict[str, Any], by: str, *, index: str | None) -> str:
    """A Sigma rule as a query.

    Args:
        sigma: path of a rule, or the rule itself.
        by: what converts it, as ``checking_plugin_acme.sigma:to_acme``.
        index: where the product looks for events; a rule does not say that.

    Raises:
        FatalDetectionError: ``not_convertible``: no index is set, the extra is not installed, or the rule cannot be
            written as a query that means the same.
    """
    module, _, name = by.partition(":")
    if index is None:
        raise _not_convertible("set INDEX: where to look for events")
    try:
        convert = getattr(import_module(module), name)
    except ModuleNotFoundError:
        package = module.partition(".")[0].replace("_", "-")
        raise _not_convertible(f"install {package}[convert]") from None
    query: str = convert(sigma)
    return query


def _not_convertible(remedy: str) -> FatalDetectionError:
    return FatalDetectionError(f"to convert Sigma rules {remedy}", reason=Reason.NOT_CONVERTIBLE)
