"""Products that a test can ask over real HTTP, kill and start again; every route names the source of what it does."""

from __future__ import annotations

from .process import Fake, Request

__all__ = ["Fake", "Request"]
