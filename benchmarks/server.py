"""A database of its own on the PostgreSQL server that TASNET_TEST_POSTGRESQL names."""

import os
import uuid

import sqlalchemy as sa


def new_database(prefix: str) -> str:
    """Make one; returns its URL, with the password."""
    url, name = sa.make_url(os.environ["TASNET_TEST_POSTGRESQL"]), f"{prefix}_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)
