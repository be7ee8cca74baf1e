"""Checkpoints from the hub: cached, refused or out of reach; and packages that are missing."""

import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests import family_miniatures, miniatures

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The miniature checkpoints by name."""
    root = tmp_path_factory.mktemp("checkpoints")
    for name in ("sdxl", "lora_sdxl", "scenes_base"):
        getattr(miniatures, name)(root / name)
    miniatures.scenes_unet(root / "scenes_turbo")
    miniatures._tiny_vae().save_pretrained(root / "tiny_vae")
    family_miniatures.xl_unet_weights(root / "weights" / "unet.safetensors")
    return {path.name: path for path in root.iterdir()}


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        timeout=120,
    )


@pytest.mark.parametrize("package", ["torch", "diffusers"])
def test_a_missing_package_names_the_extra(package):
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from evalkit.models import resolve\n"
        "from evalkit.pipelines import load_pipeline\n"
        "load_pipeline(resolve('sdxl', {}, ''), 'cpu')"
    )
    done = run(code)
    assert done.stderr.strip().endswith(
        f"evalkit.errors.ModelError: models.sdxl: the package {package} is not installed; images "
        'are made with it; run pip install "evalkit[generate]"'
    )


_LOAD = """
import json, sys
from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines import Request, load_pipeline
for name, table in json.loads(sys.argv[1]).items():
    try:
        loaded = load_pipeline(resolve(name, table, name), "cpu")
        commits = [value for key, value in loaded.made_with.items() if "commit" in key]
        print(name, *commits, loaded.render([Request("p", "a cat", 0)])[0].status)
    except ModelError as error:
        print(error)
"""


def test_a_cached_hub_repository_loads_offline_and_silently(made, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for name, folder, snapshot in [
        ("mini", "scenes_base", commit),
        ("unet", "scenes_turbo", commit[::-1]),
        ("sdxl", "sdxl", commit),
        ("lora", "lora_sdxl", commit[::-1]),
        ("weights", "weights", commit[::-1]),
        ("vae", "tiny_vae", commit[::-1]),
    ]:
        repository = tmp_path / f"models--org--{name}"
        shutil.copytree(made[folder], repository / "snapshots" / snapshot)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(snapshot)
    table = {"catalogue": "scenes-base", "revision": "", "width": 32, "height": 32, "steps": 2}
    sdxl = {**table, "catalogue": "lcm-lora-sdxl", "repository": "org/sdxl"}
    models = {
        "cached": {**table, "repository": "org/mini"},
        "swapped": {
            **table,
            "catalogue": "scenes-turbo",
            "repository": "org/mini",
            "unet_repository": "org/unet",
        },
        "fused": {**sdxl, "lora_repository": "org/lora"},
        "bare": {
            **sdxl,
            "lora_repository": "",
            "unet_repository": "org/weights",
            "unet_file": "unet.safetensors",
        },
        "decoded": {**sdxl, "lora_repository": "", "vae_repository": "org/vae"},
        "absent": {**table, "repository": "org/other"},
        "moved": {**table, "repository": "org/mini", "revision": "v9"},
    }
    done = run(_LOAD, json.dumps(models), HF_HUB_CACHE=str(tmp_path))
    *cached, absent, moved = done.stdout.splitlines()
    assert cached == [
        f"cached {commit} ok",
        f"swapped {commit} {commit[::-1]} ok",
        f"fused {commit} {commit[::-1]} ok",
        f"bare {commit} {commit[::-1]} ok",
        f"decoded {commit} {commit[::-1]} ok",
    ]
    for name, repository, said in (("absent", "other", absent), ("moved", "mini", moved)):
        assert said == (
            f'models.{name}: "org/{repository}" is not in the local cache and the hub cannot be '
            "reached; connect to it, or name a folder with the checkpoint"
        )
    assert done.stderr == ""


class _Hub(BaseHTTPRequestHandler):
    """A hub that refuses as the real one does: by status and the header X-Error-Code."""

    def do_HEAD(self):
        name, status = next(
            (code, status)
            for part, code, status in (
                ("org/gated", "GatedRepo", 403),
                ("org/old", "RevisionNotFound", 404),
                ("", "RepoNotFound", 404),
            )
            if part in self.path
        )
        self.send_response(status)
        self.send_header("X-Error-Code", name)
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_):
        pass


def test_what_the_hub_refuses_has_its_own_remedy(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    models = {
        name: {"catalogue": "scenes-base", "repository": f"org/{name}", "revision": "v9"}
        for name in ("gated", "old", "none")
    }
    done = run(
        _LOAD,
        json.dumps(models),
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
        HF_HUB_CACHE=str(tmp_path),
    )
    server.shutdown()
    assert done.stdout.splitlines() == [
        'models.gated: "org/gated" is gated; accept its licence on the hub, then run: hf auth '
        "login",
        'models.old: "org/old" has no such revision on the hub; correct the revision',
        'models.none: "org/none" is not on the hub, or is private; correct the name',
    ], done.stderr


_UNREACHABLE = """
import sys, time
from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines import load_pipeline
time.sleep = lambda seconds: sys.exit(f"waits {seconds} s")
try:
    load_pipeline(resolve("sdxl", {}, "x"), "cpu")
except ModelError as error:
    print(error)
"""


def test_a_hub_that_cannot_be_reached_is_said_without_waiting(tmp_path):
    """Without HF_HUB_OFFLINE, where the library would try again and again."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        closed = server.server_port
    done = run(
        _UNREACHABLE,
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=f"http://127.0.0.1:{closed}",
        HF_HUB_CACHE=str(tmp_path),
    )
    assert done.stdout.strip() == (
        'models.sdxl: "stabilityai/stable-diffusion-xl-base-1.0" is not in the local cache and the '
        "hub cannot be reached; connect to it, or name a folder with the checkpoint"
    ), done.stderr
    assert done.stderr == ""
