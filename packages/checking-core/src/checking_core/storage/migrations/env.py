"""Alembic's entry: runs migrations on the connection that ``migrate.py`` hands over, in its transaction."""

import sqlalchemy as sa
from alembic import context

from checking_core.storage.tables import SCHEMA, metadata

connection = context.config.attributes["connection"]
schema = None if connection.dialect.name == "sqlite" else SCHEMA
if schema and not sa.inspect(connection).has_schema(schema):  # IF NOT EXISTS asks for the right to create all the same
    connection.execute(sa.schema.CreateSchema(schema))
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=schema,
    include_schemas=True,
    render_as_batch=schema is None,
)
with context.begin_transaction():
    context.run_migrations()
