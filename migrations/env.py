"""Alembic's entry: runs migrations on the connection it is given, or on GORILLA_DATABASE_URL.

``gorilla.storage.migrating`` gives the connection; the variable is for ``alembic revision``.
"""

import os

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from gorilla.storage.tables import metadata
from gorilla.storage.urls import parse


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(parse(os.environ["GORILLA_DATABASE_URL"]), poolclass=NullPool)
    with engine.begin() as opened:
        run(opened)
