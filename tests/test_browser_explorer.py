"""The explorer in a real browser, from the disk: links to a view, filters, keys, a closer look."""

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from evalkit import tables
from evalkit.lock import write_lock
from evalkit.report import write_report
from evalkit.report.copies import make_copies
from evalkit.report.explorer import Explorer, explore
from evalkit.report.results import read_results
from evalkit.study_folder import StudyFolder
from tests.browser import open_page
from tests.report_study import write_study

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
NOW = "2025-01-02T10:00:00Z"
NASTY = [
    "</script><script>document.title = 'taken'</script><!--<script>",
    "<img src=x onerror=\"document.title = 'taken'\"> & \\u003cb> \u2028",
    "قطة حمراء تجلس على السطح",
    "long " * 80,
    "unbroken" * 30,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A reported study of 72 pairs, prompts of two categories, some of them nasty."""
    folder = write_study(tmp_path_factory.mktemp("study") / "a study # 100%", simulated=True)
    prompts = folder.read_prompts()
    texts = [*NASTY, *prompts["prompt"][len(NASTY) :]]
    prompts = prompts.assign(prompt=texts, category=["houses", "birds & <bees>"] * 6)
    tables.write(prompts, folder.prompts_file, tables.PROMPTS)
    pairs = tables.read(folder.pairs_file, tables.PAIRS)
    apart = pairs.assign(question_id="quality", metric="clip_score", weights="a/b", n=3)
    apart = apart.assign(place=range(len(pairs), 0, -1), share_a=0.8, expected_a=0.25)
    apart = apart.assign(score_a=30.0, score_b=31.0, method="made up")
    tables.write(apart, folder.analysis / "disagreements.csv", tables.DISAGREEMENTS)
    write_lock(folder, NOW)
    write_report(folder, NOW)
    return folder


@pytest.fixture(scope="module")
def explorer(folder: StudyFolder) -> Explorer:
    results = read_results(folder)
    return explore(results, make_copies(results))


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window in which nothing may go wrong, and nothing be loaded that is not on the disk."""
    page = open_page(chromium)
    page.wrong = watch(page)
    yield page
    page.context.close()
    assert page.wrong == []


def watch(page: Page) -> list[str]:
    """What goes wrong in the page from now on."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url),
    )
    return wrong


def address(folder: StudyFolder, words: str = "") -> str:
    return (folder.report / "index.html").resolve().as_uri() + words


def status(page: Page, words: str) -> None:
    expect(page.locator("#pairs-status")).to_contain_text(words)


def form(page: Page) -> Locator:
    return page.locator("#pairs-form")


def models(page: Page) -> set[tuple[str, ...]]:
    """The models of each pair that is shown."""
    shown = page.locator("#pairs-cards article").all()
    return {tuple(card.locator(".pair span").all_inner_texts()) for card in shown}


def test_a_link_shows_its_view_and_goes_there(page: Page, folder: StudyFolder) -> None:
    page.goto(address(folder, "#pairs?question=quality&a=scenes-turbo&b=scenes-lcm"))
    status(page, "24 of 72 pairs, page 1 of 2. Chosen: question quality; model scenes-turbo;")
    assert models(page) == {("scenes-lcm", "scenes-turbo")}
    heading = page.get_by_role("heading", name="Every pair")
    expect(heading).to_be_focused()
    expect(heading).to_be_in_viewport()
    page.evaluate(f"location.hash = '#pairs?category={quote('birds & <bees>')}&page=2'")
    status(page, "36 of 72 pairs, page 2 of 3. Chosen: category birds & <bees>.")
    expect(form(page).get_by_label("Model")).to_have_value("")


def test_a_link_goes_there_again_and_out_of_a_closer_look(page: Page, folder: StudyFolder) -> None:
    page.goto(address(folder))
    heading = page.get_by_role("heading", name="Every pair")
    page.get_by_role("link", name="Among all pairs").first.click()
    status(page, "1 of 72 pairs")
    for _ in range(2):
        page.get_by_role("heading", level=1).scroll_into_view_if_needed()
        form(page).get_by_label("only upsets").focus()
        page.get_by_role("link", name="Among all pairs").first.click()
        expect(heading).to_be_focused()
        expect(heading).to_be_in_viewport()
    page.locator("#pairs-cards .pair a").first.click()
    page.evaluate("location.hash = '#pairs?page=4'")
    status(page, "page 4 of 6")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(heading).to_be_focused()


def test_what_a_link_asks_for_and_is_not_there_is_said(page: Page, folder: StudyFolder) -> None:
    page.goto(address(folder, "#pairs?a=sdxl&sort=size&pair=none&page=0&colour=red&upset=1"))
    status(page, "The link asks for model “sdxl”".replace("model", "a"))
    for words in ("sort “size”", "pair “none”", "page “0”", "colour “red”"):
        status(page, words)
    expect(form(page).get_by_label("only upsets")).to_be_checked()


def test_the_address_follows_the_filters(page: Page, folder: StudyFolder) -> None:
    page.goto(address(folder))
    status(page, "All 72 pairs, page 1 of 6.")
    form(page).get_by_label("Model").select_option("scenes-base")
    form(page).get_by_label("Category").select_option("birds & <bees>")
    form(page).get_by_label("Prompt contains").fill("SCRIPT")
    status(page, "16 of 72 pairs")
    chosen = page.url
    assert chosen.endswith("#pairs?a=scenes-base&category=birds+%26+%3Cbees%3E&search=SCRIPT")
    shown = page.locator("#pairs-cards").inner_html()
    page.goto("about:blank")
    page.goto(chosen)
    status(page, "16 of 72 pairs")
    assert page.locator("#pairs-cards").inner_html() == shown
    page.get_by_role("button", name="Show all pairs").click()
    status(page, "All 72 pairs")
    assert page.url.endswith("#pairs")


def test_pages_hold_every_pair_once(page: Page, folder: StudyFolder, explorer: Explorer) -> None:
    page.goto(address(folder))
    found: list[str] = []
    for number in range(1, 7):
        status(page, f"page {number} of 6")
        cards = page.locator("#pairs-cards article")
        found += cards.evaluate_all("cards => cards.map(card => card.dataset.pair)")
        if number < 6:
            page.locator("#pairs-pages").get_by_role("button", name="Next").click()
            expect(page.locator("#pairs-status")).to_be_focused()
    assert found == [pair["id"] for pair in explorer.pairs]
    expect(page.locator("#pairs-pages").get_by_role("button", name="Next")).to_be_disabled()


def test_orders_are_those_of_the_tables(
    page: Page, folder: StudyFolder, explorer: Explorer
) -> None:
    def ordered(words: str) -> list[str]:
        page.goto(address(folder, f"#pairs?{words}"))
        cards = page.locator("#pairs-cards article")
        return cards.evaluate_all("cards => cards.map(card => card.dataset.pair)")

    quality = explorer.questions.index("quality")
    votes = [(pair["answers"][quality], n) for n, pair in enumerate(explorer.pairs)]
    apart = sorted(votes, key=lambda vote: (-vote[0]["split"], -sum(vote[0]["votes"]), vote[1]))
    expected = [explorer.pairs[n]["id"] for _, n in apart][:12]
    assert ordered("question=quality&sort=disagreement") == expected
    last = tables.read(folder.pairs_file, tables.PAIRS)["pair_id"].tolist()[::-1]
    assert ordered("sort=against/clip_score/a/b") == last[:12]
    card = page.locator("#pairs-cards article").first
    expect(card).to_contain_text("quality: share of the votes")
    expect(card.get_by_role("row", name="expected by clip_score")).to_contain_text("25%")
    upsets = [pair["id"] for pair in explorer.pairs if pair["answers"][quality]["upset"]]
    assert ordered("question=quality&upset=1") == upsets[:12]


def test_a_card_has_the_images_the_votes_and_the_scores(
    page: Page, folder: StudyFolder, explorer: Explorer
) -> None:
    pair = next(p for p in explorer.pairs if p["prompt"] == 2)
    page.goto(address(folder, f"#pairs?pair={quote(pair['id'])}"))
    status(page, "1 of 72 pairs. Chosen: the one pair of a link.")
    card = page.locator("#pairs-cards article")
    for model in (pair["a"], pair["b"]):
        image = card.get_by_role("img", name=f"{model}: {NASTY[2]}")
        assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }")
    for question, answer in zip(explorer.questions, pair["answers"], strict=True):
        row = card.get_by_role("row").filter(has_text=question)
        a, b = row.get_by_role("cell").all_inner_texts()
        assert [int(a), int(b)] == answer["votes"][:2]
    _, a, b = pair["scores"][0]
    shown = card.get_by_role("row").filter(has_text="clip_score").get_by_role("cell")
    assert [float(text) for text in shown.all_inner_texts()] == pytest.approx([a, b], abs=0.006)


def test_a_closer_look_by_keys_alone(page: Page, folder: StudyFolder, explorer: Explorer) -> None:
    page.goto(address(folder, "#pairs?page=2"))
    page.locator("#pairs-cards .pair a").nth(20).focus()  # the eleventh of the page
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Pair 23 of 72")
    expect(dialog).to_contain_text(tables.SIMULATED)
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    sources = dialog.get_by_role("img").evaluate_all("images => images.map(image => image.src)")
    assert all("/pairs/large/" in source for source in sources)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Pair 25 of 72")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    status(page, "page 3 of 6")  # where the pair stands that was looked at last
    link = page.locator("#pairs-cards article").first.locator(".pair a").first
    expect(link).to_be_focused()
    assert explorer.pairs[24]["id"] == page.locator("#pairs-cards article").first.get_attribute(
        "data-pair"
    )
    page.keyboard.press("Enter")
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Pair 72 of 72")


def test_nasty_prompts_are_text(page: Page, folder: StudyFolder) -> None:
    page.goto(address(folder))
    for text in NASTY[:3]:
        form(page).get_by_label("Prompt contains").fill(text)
        status(page, "6 of 72 pairs")
        heading = page.locator("#pairs-cards h3").first
        assert heading.text_content() == text
    assert heading.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.title().startswith("scenes-study")
    form(page).get_by_label("Prompt contains").fill("nothing has this")
    status(page, "0 of 72 pairs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_barrier_and_no_overflow(
    chromium: Browser, folder: StudyFolder, scheme: str, width: int
) -> None:
    page = open_page(chromium, color_scheme=scheme, viewport={"width": width, "height": 800})
    page.goto(address(folder, "#pairs?sort=against/clip_score/a/b"))
    page.evaluate(AXE)
    run = "axe.run({{include: ['{}']}}).then(found => found.violations.map(rule => rule.id))"
    assert page.evaluate(run.format("#pairs")) == []
    assert page.evaluate(run.format("#examples")) == []
    assert page.locator("#pairs").evaluate("part => part.scrollWidth - part.clientWidth") == 0
    page.locator("#pairs-cards .pair a").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate(run.format("#pairs-dialog")) == []
    assert page.get_by_role("dialog").evaluate("box => box.scrollWidth - box.clientWidth") == 0
    page.context.close()


def test_axe_sees_the_explorer(page: Page, folder: StudyFolder) -> None:
    """The test above could not fail if axe-core did not look into the section."""
    page.goto(address(folder))
    page.locator("#pairs-form select").first.evaluate(
        "field => field.labels[0].firstChild.remove()"
    )
    page.evaluate(AXE)
    found = page.evaluate("axe.run({include: ['#pairs']}).then(found => found.violations)")
    assert "select-name" in {rule["id"] for rule in found}


def test_images_do_not_move_what_is_below_them(chromium: Browser, folder: StudyFolder) -> None:
    page = open_page(chromium)
    page.route("**/pairs/small/**", lambda route: route.abort())
    page.goto(address(folder))
    without = page.locator("#pairs-cards").bounding_box()
    page.unroute_all()
    page.goto("about:blank")
    page.goto(address(folder))
    page.locator("#pairs-cards img").first.scroll_into_view_if_needed()
    page.locator("#pairs-cards img").first.evaluate("image => image.decode()")
    assert page.locator("#pairs-cards").bounding_box()["height"] == without["height"]
    page.context.close()


def test_a_page_with_its_images_inside_stands_alone(
    page: Page, folder: StudyFolder, tmp_path: Path
) -> None:
    copy = StudyFolder(shutil.copytree(folder.root, tmp_path / "study"))
    sent = shutil.copy(write_report(copy, NOW, embed=True), tmp_path / "sent.html")
    page.goto(Path(sent).as_uri() + "#pairs?a=scenes-lcm")
    for image in page.locator("#pairs-cards img").all():
        assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }")
    page.locator("#pairs-cards .pair a").first.click()
    shown = page.get_by_role("dialog").get_by_role("img").first
    assert shown.evaluate("async image => { await image.decode(); return image.naturalWidth }")
