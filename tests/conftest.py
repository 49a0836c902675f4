"""What every test runs with: one thread, since tiny tensors gain nothing from two and lose much to their waiting."""

import os
import shutil
import uuid

import pytest
import sqlalchemy as sa

os.environ.setdefault("OMP_NUM_THREADS", "1")      # for the processes that tests start as well


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture, marker in (("database_url", "server"), ("nodes", "cluster")):
            if fixture in item.fixturenames:
                item.add_marker(marker)


@pytest.fixture
def database_url():
    """A new PostgreSQL database, beside the one that TASNET_TEST_POSTGRESQL names; dropped afterwards."""
    if "TASNET_TEST_POSTGRESQL" not in os.environ:
        pytest.skip("TASNET_TEST_POSTGRESQL names no database to make others beside")
    url, name = sa.make_url(os.environ["TASNET_TEST_POSTGRESQL"]), f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of the test's own, but for the compiled layers: to make them anew takes longer than most tests."""
    from tasnet_core.backend import build
    from tasnet_core.files import cache_folder
    build.why_not()
    made, cache = cache_folder() / build.FOLDER, tmp_path_factory.mktemp("cache")
    (cache / build.FOLDER).symlink_to(made)
    monkeypatch.setenv("TASNET_CACHE", str(cache))
    return cache


@pytest.fixture(scope="module", params=["mkl", "scipy"])
def each_blas(request):
    """Matrix products from each library in turn."""
    from tasnet_core.backend import blas, build
    if build.why_not():
        pytest.skip(build.why_not())
    library, before = build.compiled()[0], blas.routines()
    try:
        build.use(library, blas.SOURCES[request.param]())
    except blas.Unavailable as error:
        pytest.skip(str(error))
    yield request.param
    build.use(library, before)


@pytest.fixture
def trained(monkeypatch):
    """Variants that were given to a made-up evaluation instead of a training."""
    from tests.support import made_up_search
    given = []
    monkeypatch.setattr(made_up_search, "evaluate", made_up_search.made_up(given))
    return given


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    from tests.support.damaged_database import make
    return make(tmp_path_factory.mktemp("template") / "study.db")


@pytest.fixture
def filled(template, tmp_path):
    """A study of 40 runs in one file that may be damaged."""
    return shutil.copy(template, tmp_path / "study.db")
