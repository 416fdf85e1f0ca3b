"""Whether two names mean one host. Pure.

``ws01``, ``WS01.corp.example`` and an agent's id may be one machine; ``ws01.corp.example`` and ``ws01.lab.example``
never are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

import msgspec

from checking_core.matching.record import UNTOLD

__all__ = ["Address", "HostNames", "Place", "addresses_of"]

Address: TypeAlias = IPv4Address | IPv6Address

_NAT = frozenset(map(ip_address, ("10.0.2.15", "172.17.0.1", "172.17.0.2", "192.168.122.1")))
"""What every guest of a common hypervisor or container engine calls itself."""
_EVERY_HOST = frozenset({"localhost"})
_EVERY_NETWORK = frozenset({"local", "localdomain"})


class Place(StrEnum):
    """Where a record says it happened, compared with where the execution ran."""

    SAME = "same"
    ADDRESS = "address"
    OTHER = "other"
    UNKNOWN = "unknown"


class HostNames(msgspec.Struct, frozen=True):
    """Everything that one host is called, and its addresses."""

    names: frozenset[str]
    addresses: frozenset[Address] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], addresses: Iterable[str] = ()) -> HostNames:
        """From names as somebody wrote them; a name that is an address counts as one."""
        texts = list(names)
        plain = {name for text in texts if (name := _plain(text)) and _address(name) is None}
        return cls(frozenset(plain), addresses_of([*addresses, *texts]))

    def place_of(self, names: Iterable[str], addresses: Iterable[str] = ()) -> Place:
        """Where a record with these names and addresses happened, seen from this host.

        One name that fits is enough: the others may be ids that only the backend knows. Names that all belong to
        somebody else outweigh any address: many hosts share one. An address that is not ours proves nothing, for it
        may be the other end of a connection.
        """
        other = HostNames.of(names, addresses)
        if _one_host(self.names, other.names):
            return Place.SAME
        if other.names and self.names:
            return Place.OTHER
        return Place.ADDRESS if self.addresses & other.addresses else Place.UNKNOWN


def addresses_of(texts: Iterable[str]) -> frozenset[Address]:
    """The addresses among some texts, without those that say nothing about who it is."""
    found = (_address(text) for text in texts)
    return frozenset(address for address in found if address is not None and _identifies(address))


def _plain(name: str) -> str:
    r"""``WS01.corp.example.`` and ``CORP\WS01$`` as ``ws01.corp.example`` and ``ws01``; empty if it names nobody."""
    plain = name.strip().casefold().rpartition("\\")[2].rstrip(".$")
    short, _, domain = plain.partition(".")
    known = short if domain in _EVERY_NETWORK else plain
    return "" if known in UNTOLD | _EVERY_HOST else known


def _one_host(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """A full name in common, or a short one that is not in one domain here and in another there."""
    here, there = _domains(ours), _domains(theirs)
    return any(here[short] & there[short] or not (here[short] and there[short]) for short in here.keys() & there.keys())


def _domains(names: Iterable[str]) -> dict[str, set[str]]:
    """The domains that each short name is told to be in."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        short, _, domain = name.partition(".")
        found[short] |= {domain} - {""}
    return found


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _identifies(address: Address) -> bool:
    nowhere = address.is_loopback or address.is_unspecified or address.is_link_local
    many = address.is_multicast or address.is_reserved or address in _NAT
    return not (nowhere or many)
