"""What the broker delivers, read: hostile properties cost nothing but themselves."""

import asyncio
import math
import struct
from contextlib import suppress
from datetime import UTC, datetime

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from checking_core.transport import Message, Outgoing
from checking_core.transport.rabbitmq_reader import _Reader
from checking_core.transport.rabbitmq_wire import Content, Writer, received

NOW = datetime(2026, 11, 20, 19, 28, tzinfo=UTC)
SIZE = struct.pack(">HHQ", Basic.frame_id, 0, 2)


def delivered(header: bytes) -> Content:
    return Content(tag=1, header=header, body=b"{}")


def read(dead: bool = False, **properties: object):
    return received(delivered(ContentHeader(0, 2, Basic.Properties(**properties)).marshal()), dead=dead)


@given(st.binary(max_size=400))
def test_no_properties_can_be_so_wrong_that_reading_them_fails(raw):
    message, tries = received(delivered(SIZE + raw), dead=True)
    assert message.body == b"{}"
    assert tries >= 0


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">HQ", Basic.Properties.flags["timestamp"], 2**63),
        struct.pack(">HB", Basic.Properties.flags["message_id"], 2) + b"\xff\xfe",
        struct.pack(">HI", Basic.Properties.flags["headers"], 4) + b"\x01\xfft\x01",
        struct.pack(">HI", Basic.Properties.flags["headers"], 4) + b"\x01a?\x01",
        struct.pack(">HI", Basic.Properties.flags["headers"], 10**6),
        b"\xff" * 50,
        b"",
    ],
    ids=["a time beyond all calendars", "an id", "a name", "a type", "a length", "flags without end", "nothing"],
)
def test_properties_that_cannot_be_read_count_as_absent(raw):
    assert received(delivered(SIZE + raw), dead=False) == (Message(body=b"{}", message_id=""), 0)


def test_properties_that_are_too_long_to_be_real_count_as_absent():
    assert read(message_id="7", headers={"long": "x" * 20_000}).message == Message(body=b"{}", message_id="")


def test_headers_are_text_and_what_is_nested_is_none():
    headers = {
        "text": "Ä",
        "number": 7,
        "part": 0.5,
        "flag": True,
        "list": [1],
        "table": {"a": 1},
        "time": NOW,
        "no": None,
    }
    assert read(headers=headers).message.headers == {"text": "Ä", "number": "7", "part": "0.5", "flag": "True"}


@pytest.mark.parametrize(("count", "tries"), [(2, 2), (0, 0), (-1, 0), ("2", 0), (True, 0), ([2], 0)])
def test_the_tries_are_the_brokers_count_if_it_is_one(count, tries):
    assert read(headers={"x-delivery-count": count}) == (Message(body=b"{}", message_id=""), tries)


DEATH = {"reason": "delivery_limit", "queue": "tasks", "count": 1, "exchange": "", "routing-keys": ["a"]}


def test_a_dead_letter_of_the_brokers_own_says_why_and_where_from_in_our_words():
    forged = {"x-reason": "forged", "x-first-queue": "forged", "x-first-death-reason": "expired", "x-request-id": "7"}
    message, _ = read(headers={**forged, "x-death": [DEATH, {**DEATH, "queue": "earlier"}]}, dead=True)
    assert message.headers == {"x-reason": "delivery_limit", "x-first-queue": "tasks", "x-request-id": "7"}


@pytest.mark.parametrize("death", [[], [{}], [7], "delivery_limit", {"reason": "x", "queue": "y"}, [{"reason": 1}]])
def test_an_account_of_a_death_that_is_none_changes_nothing(death):
    headers = {"x-reason": "refused", "x-first-queue": "tasks"}
    assert read(headers={**headers, "x-death": death}, dead=True).message.headers == headers


def test_outside_of_the_dead_letters_a_death_is_history():
    assert read(headers={"x-death": [DEATH]}).message.headers == {}


DELIVER = pamqp.frame.marshal(Basic.Deliver("tag", 7, False, "", "key"), 3)


def content(*parts: bytes, size: int) -> list[bytes]:
    """The frames of a delivery that come after its first."""
    header = pamqp.frame.marshal(ContentHeader(0, size, Basic.Properties(message_id="7")), 3)
    return [header, *(pamqp.frame.marshal(ContentBody(part), 3) for part in parts)]


async def pass_on(*frames: bytes) -> tuple[list[bytes], list[Content]]:
    """What aiormq gets of these frames, in the pieces in which it reads, and what the receiver of channel 3 gets."""
    inner = asyncio.StreamReader()
    inner.feed_data(b"".join(frames))
    inner.feed_eof()
    contents: list[Content] = []
    reader, passed = _Reader(inner, {3: contents.append}), []
    reader._handed_out_at = math.inf  # no sign of life is due
    with suppress(asyncio.IncompleteReadError):
        while not reader.at_eof():
            head = await reader.readexactly(1) + await reader.readexactly(6)
            passed.append(head + await reader.readexactly(struct.unpack(">I", head[3:])[0] + 1))
    return passed, contents


@pytest.mark.parametrize("parts", [[b"{}"], [b"{", b"}"], []], ids=["whole", "in two frames", "empty"])
async def test_a_delivery_goes_to_its_receiver_and_nowhere_else(parts):
    ok = pamqp.frame.marshal(Basic.ConsumeOk("tag"), 3)
    header, *bodies = content(*parts, size=len(b"".join(parts)))
    passed, contents = await pass_on(ok, DELIVER, header, *bodies, ok)
    assert passed == [ok, ok]
    assert contents == [Content(7, header[7:-1], b"".join(parts))]


async def test_frames_of_other_channels_may_come_in_between():
    other = pamqp.frame.marshal(Basic.Deliver("tag", 8, False, "", "key"), 4)
    ok = pamqp.frame.marshal(Basic.QosOk(), 4)
    header, body = content(b"{}", size=2)
    passed, contents = await pass_on(DELIVER, ok, header, other, ok, body)
    assert passed == [ok, ok]
    assert [each.body for each in contents] == [b"{}"]


async def test_a_delivery_that_is_cut_off_by_the_end_of_its_channel_is_none():
    close = pamqp.frame.marshal(Channel.Close(404, "gone", 60, 60), 3)
    header, body = content(b"{}", size=2)
    passed, contents = await pass_on(DELIVER, header, close, DELIVER, header, body)
    assert passed == [close]
    assert len(contents) == 1


async def test_what_nobody_receives_is_dropped():
    frames = [DELIVER, *content(b"{}", size=2)]
    elsewhere = [frame[:1] + b"\x00\x05" + frame[3:] for frame in frames]
    assert await pass_on(*elsewhere) == ([], [])


async def test_a_frame_without_its_end_is_left_to_the_client_to_complain_of():
    broken = DELIVER[:-1] + b"\x00"
    assert await pass_on(broken) == ([broken], [])


async def test_among_deliveries_alone_the_connection_still_lives():
    inner = asyncio.StreamReader()
    inner.feed_data(b"".join([DELIVER, *content(b"{}", size=2)]))
    reader = _Reader(inner, {})
    reader._handed_out_at = -math.inf
    heartbeat = await reader.readexactly(1) + await reader.readexactly(6) + await reader.readexactly(1)
    assert isinstance(pamqp.frame.unmarshal(heartbeat)[2], Heartbeat)


async def test_a_broker_of_another_version_is_heard():
    inner = asyncio.StreamReader()
    inner.feed_data(b"AMQP\x00\x00\x09\x01")
    inner.feed_eof()
    reader = _Reader(inner, {})
    assert await reader.readexactly(1) + await reader.readexactly(6) == b"AMQP\x00\x00\x09"


def written(message: Message, key: str = "key", longest: int = 1000) -> bytes:
    return Writer(1, "exchange", longest, NOW).write(Outgoing(key, message), message.message_id)


@given(st.integers(min_value=0, max_value=3500))
def test_a_body_is_split_so_that_no_frame_is_too_long(length):
    data, bodies, longest = written(Message(body=b"x" * length, message_id="7")), b"", 0
    while data:
        consumed, _, frame = pamqp.frame.unmarshal(data)
        longest, data = max(longest, consumed), data[consumed:]
        bodies += getattr(frame, "value", b"")
    assert bodies == b"x" * length
    assert longest <= 1008


@pytest.mark.parametrize(
    ("message", "key"),
    [
        (Message(body=b"{}", message_id="x" * 256), "key"),
        (Message(body=b"{}", message_id="7"), "x" * 256),
        (Message(body=b"{}", message_id="7", headers={"x-reason": "x" * 1000}), "key"),
        (Message(body=b"{}", message_id="7", headers={"x-reason": "\ud800"}), "key"),
    ],
    ids=["id", "routing key", "headers", "no text"],
)
def test_what_the_protocol_has_no_room_for_is_refused_before_it_is_sent(message, key):
    with pytest.raises((TypeError, ValueError)):
        written(message, key)
