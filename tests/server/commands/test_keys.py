"""``checking keys`` and ``checking audit``: a key is made, listed, revoked, and each of it is in the log."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from checking_core.contracts import AccessRole
from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.settings import DatabaseSettings, read
from checking_server.access import Keyring, RefusedError
from checking_server.bootstrap import open_store
from checking_server.commands import audit as audit_command
from checking_server.commands import keys

Output = pytest.CaptureFixture[str]


async def made(capsys: Output, **options: object) -> tuple[str, UUID]:
    """The text and the id of a new key."""
    await keys.create("ci", **{"role": AccessRole.OPERATOR, **options})  # type: ignore[arg-type]
    told = capsys.readouterr()
    return told.out.strip(), UUID(told.err.split()[1])


async def test_a_key_is_alone_on_stdout_and_opens_the_api(capsys: Output) -> None:
    key, _ = await made(capsys, scope=("ingest",))
    async with open_store(read(DatabaseSettings)) as store:
        keyring = Keyring(store, lifetime=timedelta(1))
        known = await keyring.of_key(key)
        await keyring.close()
    assert (known.name, known.role, set(known.scopes)) == ("ci", AccessRole.OPERATOR, {"ingest"})


async def test_keys_are_listed_without_their_secrets(capsys: Output) -> None:
    key, key_id = await made(capsys, days=30)
    _, gone = await made(capsys, scope=("ingest",))
    await keys.revoke(gone)
    capsys.readouterr()
    await keys.list_keys()
    told = capsys.readouterr().out
    assert str(key_id) in told
    assert key[:16] in told
    assert key[-43:] not in told
    assert all(word in told for word in ("operator", "ingest", "never", "until", "revoked", "2 keys, 2 shown."))


async def test_a_revoked_key_is_refused(capsys: Output) -> None:
    key, key_id = await made(capsys)
    await keys.revoke(key_id)
    async with open_store(read(DatabaseSettings)) as store:
        with pytest.raises(RefusedError):
            await Keyring(store, lifetime=timedelta(1)).of_key(key)


async def test_a_key_or_a_scope_that_is_not_there_is_told(capsys: Output) -> None:
    with pytest.raises(NotFoundError, match="no key with this id"):
        await keys.revoke(uuid4())
    with pytest.raises(ConfigurationError, match="everything is none; there are operations"):
        await keys.create("ci", role=AccessRole.VIEWER, scope=("everything",))


async def test_the_log_is_listed_and_exported(capsys: Output) -> None:
    _, key_id = await made(capsys)
    await keys.revoke(key_id)
    capsys.readouterr()
    await audit_command.audit()
    told = capsys.readouterr().out
    assert told.index("api_key.revoke") < told.index("api_key.create")
    assert "2 changes, 2 shown." in told
    await audit_command.audit(action="api_key.create", json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["after"]["name"] == "ci"
