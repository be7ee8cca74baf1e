"""The layers of the house: imports go down only, and each outside thing has its own room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "evalkit").rglob("*.py"), *(ROOT / "study_app").rglob("*.py")])

# The longest name that fits a module decides its layer.
LAYERS = {
    "evalkit": 0,  # public names, loaded on demand
    "evalkit.addresses": 0,
    "evalkit.errors": 0,
    "evalkit.files": 0,
    "evalkit.pixels": 0,
    "evalkit.tables": 0,
    "evalkit.validation": 0,
    "evalkit.content": 1,
    "evalkit.models": 1,
    "evalkit.presets": 1,
    "evalkit.prompts": 1,
    "evalkit.study": 1,
    "evalkit.study_folder": 1,
    "evalkit.study_sections": 1,
    "evalkit.texts": 1,
    "evalkit.analysis": 2,
    "evalkit.blinding": 2,
    "evalkit.cluster": 2,
    "evalkit.comparisons": 2,
    "evalkit.design": 2,
    "evalkit.frozen": 2,
    "evalkit.installation": 2,
    "evalkit.lock": 2,
    "evalkit.metrics": 2,
    "evalkit.pipelines": 2,
    "evalkit.progress": 2,
    "evalkit.simulate": 2,
    "evalkit.store": 2,
    "evalkit.vote_files": 2,
    "evalkit.wording": 2,
    "evalkit.annotator_screen": 3,
    "evalkit.anytime_status": 3,
    "evalkit.archive": 3,
    "evalkit.archive_entries": 3,
    "evalkit.bench": 3,
    "evalkit.collection": 3,
    "evalkit.early_looks": 3,
    "evalkit.exports": 3,
    "evalkit.generation": 3,
    "evalkit.leaks": 3,
    "evalkit.monitoring": 3,
    "evalkit.new_version": 3,
    "evalkit.report": 3,
    "evalkit.report_files": 3,
    "evalkit.result_tables": 3,
    "evalkit.scoring": 3,
    "evalkit.simulated_sessions": 3,
    "evalkit.simulated_study": 3,
    "evalkit.verification": 3,
    "evalkit.vote_plan": 3,
    "evalkit.cli": 4,
    "evalkit.demo": 4,
    "study_app": 4,
}

ROOMS = {  # who may import an outside thing
    "torch": ("evalkit.pipelines", "evalkit.metrics", "evalkit.models.scenes"),
    "torchvision": ("evalkit.metrics",),
    "diffusers": ("evalkit.pipelines", "evalkit.models.scenes"),
    "transformers": ("evalkit.pipelines", "evalkit.metrics", "evalkit.models.scenes"),
    "open_clip": ("evalkit.metrics", "evalkit.models.scenes"),
    "cleanfid": ("evalkit.metrics",),
    "lpips": ("evalkit.metrics",),
    "alembic": ("evalkit.store",),
    "filelock": ("evalkit.scoring",),
    "duckdb": ("evalkit.vote_files", "evalkit.exports"),
    "playwright": ("evalkit.annotator_screen",),
    "psycopg": ("evalkit.store",),
    "sqlalchemy": ("evalkit.store",),
    "sqlite3": ("evalkit.store",),
    "streamlit": ("study_app",),
    "altair": ("study_app.dashboard",),
    "starlette": ("study_app",),
    "matplotlib": ("evalkit.report",),
    "jinja2": ("evalkit.report",),
    "typer": ("evalkit.cli",),
    "ray": ("evalkit.cluster",),
    "websockets": ("evalkit.leaks",),
    "upath": ("evalkit.addresses",),
    "fsspec": ("evalkit.addresses",),
}

PURE = ("evalkit.design", "evalkit.analysis", "evalkit.simulate")
EFFECTS = {"time", "secrets", "uuid", "random", "os", "pathlib", "datetime", "subprocess"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Full names of what a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where a name comes from"
            found |= {resolve(node.module, alias.name) for alias in node.names}
    return found


def resolve(module: str, name: str) -> str:
    """`from package import module` names the module; `from module import name` the module."""
    target = ROOT.joinpath(*module.split("."), name)
    return f"{module}.{name}" if target.with_suffix(".py").is_file() or target.is_dir() else module


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def layer(module: str) -> int:
    places = [place for place in LAYERS if within(module, place)]
    place = max(places, key=len)
    assert place != "evalkit" or module == "evalkit", f"{module} has no layer yet: name it above"
    return LAYERS[place]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down(path):
    module = module_name(path)
    for name in imports(path):
        if within(name, "evalkit") or within(name, "study_app"):
            assert layer(name) <= layer(module), f"{module} imports {name} from above"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_each_outside_thing_has_its_room(path):
    module = module_name(path)
    for name in imports(path):
        allowed = ROOMS.get(name.split(".")[0])
        assert allowed is None or any(within(module, room) for room in allowed), (
            f"{module} imports {name}; only {allowed} may"
        )


@pytest.mark.parametrize(
    "path", [p for p in FILES if any(within(module_name(p), m) for m in PURE)], ids=module_name
)
def test_the_middle_is_pure(path):
    assert not {name.split(".")[0] for name in imports(path)} & EFFECTS


def test_no_circles():
    graph = {
        module_name(path): {
            name for name in imports(path) if within(name, "evalkit") or within(name, "study_app")
        }
        for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module not in done:
            for name in graph.get(module, ()):
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_app_cannot_unblind():
    """The app imports nothing that reads the study file, the images or the pairs."""
    allowed = ("evalkit.errors", "evalkit.tables", "evalkit.blinding")
    for path in FILES:
        if within(module_name(path), "study_app"):
            for name in imports(path):
                assert (
                    not within(name, "evalkit")
                    or name in allowed
                    or within(name, "evalkit.store")
                    or (within(module_name(path), "study_app.dashboard") and name in WATCHING)
                ), f"{module_name(path)} imports {name}"


WATCHING = ("evalkit.monitoring", "evalkit.analysis.annotators")  # what the dashboard may use


def test_what_watches_a_study_cannot_unblind():
    """Neither the overview nor the table of annotators knows a model's name."""
    unblinding = ("evalkit.comparisons", "evalkit.study", "evalkit.study_folder", "evalkit.models")
    for path in FILES:
        if module_name(path) in WATCHING:
            assert not [n for n in imports(path) if any(within(n, u) for u in unblinding)]


def test_every_file_opens_with_its_contract():
    for path in FILES:
        first = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert first, f"{path} opens without a contract"


@pytest.mark.parametrize("call", ["import evalkit", "import evalkit.cli"])
def test_the_core_is_light(call):
    heavy = "torch", "streamlit", "matplotlib", "pandas", "diffusers"
    code = f"import sys; {call}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
