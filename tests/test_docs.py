"""The guide: its commands run, its links lead somewhere, its generated pages are the code's."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from docs import generated
from evalkit import tables
from evalkit.cli import app
from evalkit.tables.meanings import spare
from tests.console import assert_shown, run, steps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", *ROOT.glob("*/README.md")])
WALKED = [page for page in sorted(DOCS.glob("*.md")) if steps(page.read_text("utf-8"))]
TABLES = {
    name: getattr(tables, name)
    for name in tables.__all__
    if isinstance(getattr(tables, name), tables.Table)
}


def test_the_generated_pages_are_those_of_the_code():
    for name, content in generated.pages().items():
        assert (DOCS / name).read_text("utf-8") == content, (
            f"docs/{name} is not what the code says now; run: make docs"
        )


def test_every_table_is_in_the_data_dictionary_and_every_column_has_a_meaning():
    assert set(generated.WHERE) == set(TABLES)
    assert not spare({column for table in TABLES.values() for column in table.names})


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_their_order(page, tmp_path):
    for command, shown in steps(page.read_text("utf-8")):
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert_shown(command, done.stdout, shown)


def lines():
    """(page, command) of every line of a block, or in code, that begins with evalkit."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = re.findall(r"```(?:console|text|sh)?\n(.*?)```", text, re.DOTALL)
        written = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
        written += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
        commands = (
            re.sub(r"^sudo -u \S+ \S*/evalkit|^[A-Z_]+=\S+ evalkit", "evalkit", line)
            for line in written
        )
        found += [(page.name, line) for line in commands if line.startswith("evalkit ")]
    return sorted(set(found))


@pytest.mark.parametrize("page, line", lines())
def test_a_command_that_a_page_names_is_one_that_there_is(page, line):
    words = shlex.split(line.replace("[", "").replace("]", ""), comments=True)[1:]
    words = [word for word in words if word != "..."]
    if words and words[0] in ("COMMAND", "--help"):
        return
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{page}: {line}"
        command = command.commands[words.pop(0)]
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    for word in words:
        name, _, _ = word.partition("=")
        if name.startswith("--") and name != "--help":
            assert name in options, f"{page}: {line}: {name}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material", reason="the extra docs is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Data dictionary" in (tmp_path / "site" / "data-dictionary" / "index.html").read_text()


def test_every_page_is_in_the_navigation():
    named = set(
        re.findall(r"(\S+\.(?:md|ipynb))$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    )
    assert named == {page.name for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]}


def test_the_notebook_runs_from_top_to_bottom():
    cells = json.loads((DOCS / "notebook.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    check = "assert (rates['vote_source'] == 'SIMULATED VOTES').all() and len(rates) == 6"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*code, check])], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
