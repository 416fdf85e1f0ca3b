"""Whether two names or addresses mean one host."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from checking_core.matching.host import HostNames, Place, addresses_of

OURS = HostNames.of(["ws01.corp.example"], ["192.0.2.10", "2001:db8::10"])


@pytest.mark.parametrize(
    ("ours", "theirs", "place"),
    [
        (["ws01"], ["ws01"], Place.SAME),
        (["ws01"], ["WS01"], Place.SAME),
        (["ws01"], [" ws01. "], Place.SAME),
        (["ws01"], ["ws01.corp.example"], Place.SAME),
        (["ws01.corp.example"], ["WS01"], Place.SAME),
        (["ws01.corp.example"], ["ws01.corp.example"], Place.SAME),
        (["ws01.corp.example"], ["ws01.lab.example"], Place.OTHER),
        (["ws01", "ws01.corp.example"], ["ws01.lab.example"], Place.OTHER),
        (["ws01.corp.example"], ["ws01", "ws01.lab.example"], Place.OTHER),
        (["ws01", "ws01.corp.example"], ["ws01", "ws01.lab.example"], Place.OTHER),
        (["ws01.corp.example", "ws01.lab.example"], ["ws01.lab.example"], Place.SAME),
        (["ws01.corp.example", "ws01.lab.example"], ["ws01.corp.example"], Place.SAME),
        (["ws01.lab.example"], ["ws01.corp.example", "ws01.lab.example"], Place.SAME),
        (["ws01.corp.example"], ["ws01.corp.example", "ws01.lab.example"], Place.SAME),
        (["ws01"], ["ws010"], Place.OTHER),
        (["ws01"], ["ws0"], Place.OTHER),
        (["ws01"], ["corp.ws01"], Place.OTHER),
        (["ws01"], [r"CORP\WS01$"], Place.SAME),
        (["ws01", "agent-7f3a"], ["AGENT-7F3A"], Place.SAME),
        (["ws01"], ["sensor-1", "ws01"], Place.SAME),
        (["ws01.corp.example", "agent-7f3a"], ["ws01.lab.example", "agent-7f3a"], Place.SAME),
        (["macbook.local"], ["macbook.corp.example"], Place.SAME),
        (["ws01.localdomain"], ["ws01.corp.example"], Place.SAME),
        (["ws01.corp.local"], ["ws01.corp.example"], Place.OTHER),
    ],
)
def test_one_host_has_one_name_in_one_domain(ours, theirs, place):
    assert HostNames.of(ours).place_of(theirs) is place


@pytest.mark.parametrize("nobody", ["", "-", "unknown", "N/A", "null", "None", "localhost", "localhost.localdomain"])
def test_what_is_written_where_no_name_is_known_is_not_another_host(nobody):
    assert OURS.place_of([nobody]) is Place.UNKNOWN
    assert HostNames.of([nobody]).place_of([nobody]) is Place.UNKNOWN


def test_a_host_that_is_not_known_is_never_the_same():
    assert HostNames.of([]).place_of(["ws01"]) is Place.UNKNOWN
    assert OURS.place_of([]) is Place.UNKNOWN


@pytest.mark.parametrize(
    "theirs",
    ["192.0.2.10", " 192.0.2.10 ", "::ffff:192.0.2.10", "2001:db8::10", "2001:0DB8:0:0::10", "[2001:db8::10]"],
)
def test_addresses_are_compared_as_addresses(theirs):
    assert OURS.place_of([], [theirs]) is Place.ADDRESS


@pytest.mark.parametrize("theirs", ["192.0.2.1", "192.0.2.100", "2001:db8::1", "not an address"])
def test_an_address_that_only_begins_alike_is_another_one(theirs):
    assert OURS.place_of([], [theirs]) is Place.UNKNOWN


def test_one_address_of_several_is_enough():
    assert OURS.place_of([], ["198.51.100.7", "192.0.2.10"]) is Place.ADDRESS


def test_an_address_among_the_names_counts_as_an_address():
    assert OURS.place_of(["192.0.2.10"]) is Place.ADDRESS
    assert HostNames.of(["192.0.2.10"]).place_of(["192.0.2.10"]) is Place.ADDRESS


def test_another_hosts_name_outweighs_a_shared_address():
    assert OURS.place_of(["ws02"], ["192.0.2.10"]) is Place.OTHER


def test_the_hosts_own_name_outweighs_a_strange_address():
    assert OURS.place_of(["ws01"], ["198.51.100.7"]) is Place.SAME


def test_an_address_is_enough_where_the_host_has_no_other_name():
    assert HostNames.of([], ["192.0.2.10"]).place_of(["ws02"], ["192.0.2.10"]) is Place.ADDRESS


@pytest.mark.parametrize(
    "shared",
    [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.3.4",
        "fe80::1%eth0",
        "224.0.0.251",
        "255.255.255.255",
        "10.0.2.15",
        "172.17.0.1",
        "172.17.0.2",
        "192.168.122.1",
    ],
)
def test_an_address_that_many_hosts_have_is_none(shared):
    assert addresses_of([shared]) == frozenset()


def test_a_zone_is_no_part_of_an_address():
    assert addresses_of(["2001:db8::10%eth0"]) == {ip_address("2001:db8::10")}


def test_names_and_addresses_are_kept_apart():
    found = HostNames.of(["WS01", "dc01.corp.local", "192.0.2.10"], ["198.51.100.7"])
    assert found.names == {"ws01", "dc01.corp.local"}
    assert found.addresses == {ip_address("192.0.2.10"), ip_address("198.51.100.7")}
