"""``checking db``: the schema of the database. PostgreSQL is changed by nothing else, SQLite on each start."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from checking_core.errors import ConfigurationError

__all__ = ["app", "check", "downgrade", "setup", "upgrade"]

app = App(name="db", help="The database schema: upgrade, check, downgrade, setup.")


@app.command
async def upgrade() -> None:
    """Bring the schema to the revision of this release. Does nothing where it is there already."""
    from checking_core.storage import migrate

    url = _url()
    before = await migrate.current(url)
    await migrate.upgrade(url)
    after = await migrate.current(url)
    print(f"{_told(after)} It was there already." if before == after else _told(after))


@app.command
async def check() -> None:
    """Say whether the schema is the one that this release needs. Exit code 3 if it is not."""
    from checking_core.storage import migrate

    await migrate.check(_url())
    print(f"{_told(migrate.head())} This release needs it.")


@app.command
async def downgrade(
    revision: Annotated[str, Parameter(help="Where to: -1 is one revision back, base is no tables at all.")] = "-1",
    /,
    *,
    yes: Annotated[bool, Parameter(help="Yes, data may be lost by this.", negative="")] = False,
) -> None:
    """Take the schema back to an older revision, for an older release."""
    from checking_core.storage import migrate

    if not yes:
        raise ConfigurationError("a downgrade drops columns and tables with what is in them; say --yes to do it")
    url = _url()
    await migrate.downgrade(url, revision)
    print(_told(await migrate.current(url)))


@app.command
async def setup(
    *,
    role: Annotated[str | None, Parameter(help="Instead of the user of CHECKING_DATABASE_URL.")] = None,
    database: Annotated[str | None, Parameter(help="Instead of the database of CHECKING_DATABASE_URL.")] = None,
    run: Annotated[
        str | None, Parameter(help="URL of an administrator: do it, instead of printing the statements for psql.")
    ] = None,
) -> None:
    """Create role, database and schema on PostgreSQL: print the statements, or run them as an administrator.

    What is there already stays as it is. With --run the role gets the password of CHECKING_DATABASE_URL.
    """
    import sqlalchemy as sa

    from checking_core.storage.provision import provision, setup_sql

    url = sa.make_url(_url())
    own = url if url.get_backend_name() == "postgresql" else sa.URL.create("postgresql")
    role, database = role or own.username, database or own.database
    if not role or not database:
        raise ConfigurationError("name --role and --database, or set CHECKING_DATABASE_URL to a database of PostgreSQL")
    if run is None:
        print(setup_sql(role, database), end="")
        return
    password = own.password if role == own.username else None
    for line in await provision(_async_url(run), role=role, database=database, password=password):
        print(line)
    print("Next: checking db upgrade")


def _told(revision: str | None) -> str:
    return f"The schema is at revision {revision}." if revision else "The database has no tables of ours."


def _url() -> str:
    from checking_core.settings import DatabaseSettings, read

    return read(DatabaseSettings).async_url


def _async_url(url: str) -> str:
    from pydantic import ValidationError

    from checking_core.settings import DatabaseSettings

    try:
        found = DatabaseSettings(url=url).async_url
    except ValidationError:
        found = ""
    if not found.startswith("postgresql"):
        raise ConfigurationError("--run: is no URL of PostgreSQL; write postgresql://user:password@host:5432/postgres")
    return found
