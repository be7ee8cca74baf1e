"""Settings of the whole test run, made before anything loads torch."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# OpenMP threads that spin while they wait make a machine with other work several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The miniature checkpoints of `tests.miniatures`, by name."""
    from tests import miniatures

    root = tmp_path_factory.mktemp("checkpoints")
    miniatures.scenes_unet(root / "scenes_lcm", guided=True)
    miniatures.scenes_unet(root / "scenes_turbo")
    for name in ("sdxl", "lcm_sdxl_unet", "lora_sdxl", "scenes_base", "sd_turbo", "filtered_sd"):
        getattr(miniatures, name)(root / name)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """A place for a vote database (`tests.stores.Database`), on a file and on a server."""
    from tests.stores import Database

    database = Database(request.param, tmp_path)
    yield database
    database.close()


@pytest.fixture
def store(database):
    """A vote database with a small study, on a file and on a server."""
    return database.create()


@pytest.fixture
def sqlite(tmp_path):
    """A place for a vote database in a file."""
    from tests.stores import Database

    database = Database("sqlite", tmp_path)
    yield database
    database.close()


@pytest.fixture
def postgres(tmp_path):
    """A place for a vote database on a server."""
    from tests.stores import Database

    database = Database("postgresql", tmp_path)
    yield database
    database.close()


@pytest.fixture
def server_folder():
    """For a server of its own, whose account can reach it: pytest closes its folders to others."""
    root = Path(tempfile.mkdtemp(prefix="evalkit-postgres-"))
    yield root / "data"
    shutil.rmtree(root, ignore_errors=True)


# ---- the app: `study` (a server, its folder, links into it) and `served` are each module's own


@pytest.fixture
def server(study):
    """The running server."""
    return study[0]


@pytest.fixture
def visitor(study):
    """Somebody new, with a link of their own."""
    return study[0].visitor(next(study[2]))


@pytest.fixture
def voting(visitor):
    """Somebody at their first trial that counts."""
    visitor.state = visitor.skip_practice(visitor.begin())
    return visitor


@pytest.fixture(scope="module")
def chromium():
    """A real browser."""
    from tests import browser

    yield from browser.chromium()


@pytest.fixture
def page(chromium):
    """A window of its own, as wide as most screens."""
    from tests.browser import open_page

    page = open_page(chromium)
    yield page
    page.context.close()


@pytest.fixture
def link(served):
    """A personal link that nobody has opened yet."""
    return served.link()
