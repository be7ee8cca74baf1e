"""The page in a real Chromium under its security headers: it works, and nothing is refused."""

import pytest

from tests.browser import begin, open_page, serve_scenes, vote, wait_until_votable

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    yield from serve_scenes(tmp_path_factory.mktemp("policy"))


def test_the_page_works_under_its_policy_without_a_complaint(chromium, served):
    page = open_page(chromium)
    complaints, asked = [], []
    page.on("console", lambda message: complaints.append((message.type, message.text)))
    page.on("pageerror", lambda error: complaints.append(("page", str(error))))
    page.on("request", lambda request: asked.append(request.url))
    link = served.link()
    begin(page, link)
    for _ in range(2):
        vote(page, "ArrowLeft")
    wait_until_votable(page)
    assert [each for each in complaints if each[0] in ("error", "warning", "page")] == []
    assert page.url == f"{served.server.url}/"
    ours = (f"{served.server.url}/", f"blob:{served.server.url}/", "data:")
    assert [url for url in asked if not url.startswith(ours)] == []
    assert page.evaluate("document.cookie").find("evalkit=") == -1  # no script reads it
    page.context.close()


def test_a_script_that_got_into_the_page_would_not_run(chromium, served):
    page = open_page(chromium)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(served.link())
    page.get_by_role("button", name="I agree, begin").wait_for()
    page.evaluate(
        "() => { const s = document.createElement('script');"
        " s.textContent = 'window.injected = 1'; document.body.append(s);"
        " const i = document.createElement('div');"
        " i.innerHTML = '<img src=x onerror=\"window.injected = 2\">'; document.body.append(i); }"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.injected") is None
    assert any("Content Security Policy" in each for each in complaints)
    page.context.close()


def test_no_other_page_can_frame_it(chromium, served):
    page = open_page(chromium)
    frame = f'<iframe src="{served.link()}" width="800" height="600"></iframe>'
    page.route("http://elsewhere.test/", lambda route: route.fulfill(
        body=frame, content_type="text/html"
    ))  # fmt: skip
    page.goto("http://elsewhere.test/")
    page.wait_for_timeout(1500)
    inner = page.frames[1]
    assert inner.get_by_role("button").count() == 0
    assert "evalkit" not in inner.content()
    page.context.close()
