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
