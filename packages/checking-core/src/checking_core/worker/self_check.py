"""What a backend's detector says of itself. Foreign code: it may go wrong in any way, and harms nobody."""

from __future__ import annotations

import asyncio
from functools import partial

from checking_core.errors import BackendUnreachableError
from checking_core.plugin.base import BaseWorker, Health
from checking_core.plugin.loader import BrokenPluginError, foreign
from checking_core.worker.boundary import redacted, secrets_of
from checking_core.worker.run_task import close_detector

__all__ = ["health_of"]

_CLOSE_WITHIN = 5.0
_LONGEST_DETAIL = 500


def health_of(detector: BaseWorker, *, within: float = 15.0) -> Health:
    """Start it, let it check itself, and close it. Never raises for what it does.

    Args:
        detector: not started; not to be used afterwards.
        within: seconds that it may take.
    """
    try:
        found: object = foreign("self-check failed", partial(asyncio.run, _checked(detector, within)))
    except BrokenPluginError as error:
        found = Health(ok=False, detail=str(error))
    if not isinstance(found, Health):
        return Health(ok=False, detail=f"self-check returned {type(found).__name__} instead of Health")
    ok = None if found.ok is None else bool(found.ok)
    return Health(ok=ok, detail=redacted(str(found.detail), secrets_of(detector.settings), _LONGEST_DETAIL))


async def _checked(detector: BaseWorker, within: float) -> Health:
    try:
        async with asyncio.timeout(within):
            await detector.start()
            return await detector.self_check()
    except TimeoutError as error:
        raise BackendUnreachableError(f"no answer within {within:g} s") from error
    finally:
        await close_detector(detector, within=_CLOSE_WITHIN)
