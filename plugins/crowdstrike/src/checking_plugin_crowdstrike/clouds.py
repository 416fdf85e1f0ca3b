"""The clouds of Falcon: where each is, and which of them a client may be sent to by another."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Cloud", "address_of", "cloud_at", "cloud_named", "console_of", "redirected"]


class Cloud(StrEnum):
    """A region, by the name that ``X-CS-Region`` gives it."""

    US_1 = "us-1"
    US_2 = "us-2"
    US_3 = "us-3"
    EU_1 = "eu-1"
    US_GOV_1 = "us-gov-1"
    US_GOV_2 = "us-gov-2"


_DOMAINS = {
    Cloud.US_1: "crowdstrike.com",
    Cloud.US_2: "us-2.crowdstrike.com",
    Cloud.US_3: "us-3.crowdstrike.com",
    Cloud.EU_1: "eu-1.crowdstrike.com",
    Cloud.US_GOV_1: "laggar.gcw.crowdstrike.com",
    Cloud.US_GOV_2: "us-gov-2.crowdstrike.mil",
}
_APART = frozenset({Cloud.US_GOV_1, Cloud.US_GOV_2})
"""Nobody is sent from or to the clouds of a government."""
_ANY = "autodiscover"
"""What CrowdStrike's own tools call it when they begin at the first cloud and follow."""


def cloud_named(name: str) -> Cloud | None:
    """The cloud of a name as any of CrowdStrike's tools writes it: ``us-2``, ``US2``, ``usgov1``, ``autodiscover``."""
    plain = name.strip().lower().replace("-", "").replace("_", "")
    known = {cloud.replace("-", ""): cloud for cloud in Cloud}
    return Cloud.US_1 if plain == _ANY else known.get(plain)


def cloud_at(address: str) -> Cloud | None:
    """The cloud at an address; ``None`` for any other, such as a proxy's."""
    plain = address.rstrip("/").lower()
    return next((cloud for cloud in Cloud if address_of(cloud) == plain), None)


def address_of(cloud: Cloud) -> str:
    """Where its API is."""
    return f"https://api.{_DOMAINS[cloud]}"


def console_of(cloud: Cloud) -> str:
    """Where people look at its alerts."""
    return f"https://falcon.{_DOMAINS[cloud]}"


def redirected(address: str, told: str) -> str | None:
    """Where a client of another cloud is at home, if that is known to be CrowdStrike's.

    Args:
        address: of whom it asked.
        told: its answer's ``X-CS-Region``.
    """
    here, there = cloud_at(address), cloud_named(told)
    if here is None or there is None or here is there or _APART & {here, there}:
        return None
    return address_of(there)
