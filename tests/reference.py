"""Where the reference data lies, when it does; tests that need it are skipped elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"

needs_reference = pytest.mark.skipif(not FOLDER.is_dir(), reason="the reference data is not here")


def read_json(name: str) -> Any:
    return json.loads((FOLDER / "reference" / name).read_text())
