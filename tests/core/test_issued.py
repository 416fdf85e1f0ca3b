"""A credential that a product issues is shared, renewed in time, and never guessed at."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from checking_core.errors import BackendAuthFailedError, BackendUnreachableError, DetectionError
from checking_core.plugin.issued import Issued, IssuedCredential


class Product:
    def __init__(self, lasts: timedelta | None = timedelta(minutes=30)) -> None:
        self.now = datetime(2026, 11, 20, tzinfo=UTC)
        self.lasts = lasts
        self.asked = 0
        self.error: DetectionError | None = None
        self.credential = IssuedCredential(self.issue, lambda: self.now)

    async def issue(self) -> Issued:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Issued(f"token-{self.asked}", self.lasts)


async def test_many_requests_share_one_log_in() -> None:
    product = Product()
    tokens = await asyncio.gather(*(product.credential.token() for _ in range(20)))
    assert (set(tokens), product.asked) == ({"token-1"}, 1)


async def test_a_token_is_renewed_before_it_runs_out() -> None:
    product = Product()
    await product.credential.token()
    product.now += timedelta(minutes=27)
    assert await product.credential.token() == "token-1"
    product.now += timedelta(minutes=1)
    assert await product.credential.token() == "token-2"


async def test_a_token_without_an_end_is_good_until_it_is_refused() -> None:
    product = Product(lasts=None)
    await product.credential.token()
    product.now += timedelta(days=30)
    assert await product.credential.token() == "token-1"
    product.credential.refused("token-1")
    assert await product.credential.token() == "token-2"


async def test_many_that_were_refused_the_same_token_get_one_new_one() -> None:
    product = Product()
    await product.credential.token()
    product.credential.refused("token-1")
    await product.credential.token()
    product.credential.refused("token-1")
    assert (await product.credential.token(), product.asked) == ("token-2", 2)


async def test_wrong_credentials_are_tried_once_in_a_while_only() -> None:
    product = Product()
    product.error = BackendAuthFailedError("Login failed")
    for _ in range(20):
        with pytest.raises(BackendAuthFailedError, match="Login failed"):
            await product.credential.token()
    assert product.asked == 1
    product.now += timedelta(minutes=6)
    product.error = None
    assert await product.credential.token() == "token-2"


async def test_a_token_that_is_refused_when_it_is_new_ends_the_log_ins_for_a_while() -> None:
    product = Product()
    product.credential.refused(await product.credential.token())
    product.credential.refused_anew(await product.credential.token(), "the token is good for nothing")
    for _ in range(10):
        with pytest.raises(BackendAuthFailedError, match="token is good for nothing; not tried again"):
            await product.credential.token()
    assert product.asked == 2
    product.now += timedelta(minutes=6)
    assert await product.credential.token() == "token-3"


async def test_a_late_refusal_of_a_token_that_was_replaced_ends_no_log_in() -> None:
    product = Product()
    old = await product.credential.token()
    product.credential.refused(old)
    assert await product.credential.token() == "token-2"
    product.credential.refused_anew(old, "the token is good for nothing")
    assert await product.credential.token() == "token-2"


async def test_an_outage_is_no_refusal() -> None:
    product = Product()
    product.error = BackendUnreachableError("away")
    with pytest.raises(BackendUnreachableError):
        await product.credential.token()
    product.error = None
    assert await product.credential.token() == "token-2"


def test_a_token_is_never_shown() -> None:
    assert "s3cret" not in repr(Issued("s3cret"))
