"""docs/deployment.md and what stands beside it: a real nginx with TLS before two real workers."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from benchmarks.annotators import WINDOW
from benchmarks.load import served
from evalkit.collection import invite
from evalkit.store import open_store
from tests.certificates import write_certificate
from tests.echo_server import echo_server
from tests.study_factory import NOW, make_study

DEPLOYMENT = Path(__file__).parents[1] / "docs" / "deployment"
STUDY_HOST, DASHBOARD_HOST = "study.example.org", "dashboard.example.org"
_MAIN = """
daemon off;
pid {root}/nginx.pid;
error_log {root}/main.log;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    include {root}/evalkit.conf;
}}
"""
_PATIENCE = 20.0  # seconds


def program(name: str) -> str:
    """Where the program lies; the test fails in a sentence where it is not installed."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        package = {"nginx": "nginx", "sqlite3": "sqlite3"}[name]
        pytest.fail(f"no {name} on this machine; install it with: apt-get install {package}")
    return found


def free_ports(n: int) -> int:
    """The first of `n` neighbouring ports of loopback that nobody listens on now."""
    for first in range(20_000, 32_000, n):
        try:
            for port in range(first, first + n):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


class Proxy:
    """nginx with docs/deployment/nginx.conf, but for ports, certificate and where logs go."""

    def __init__(self, root: Path, workers: list[int], dashboard: int) -> None:
        root.mkdir(parents=True)
        self.root, self.certificate = root, root / "certificate.pem"
        self.http, self.https = free_ports(2), free_ports(2) + 1
        write_certificate(self.certificate, root / "key.pem", [STUDY_HOST, DASHBOARD_HOST])
        text = (DEPLOYMENT / "nginx.conf").read_text("utf-8")
        for written, ours in {
            "/etc/evalkit/tls/fullchain.pem": str(self.certificate),
            "/etc/evalkit/tls/privkey.pem": str(root / "key.pem"),
            "/var/log/nginx/": f"{root}/",
            "listen 80": f"listen 127.0.0.1:{self.http}",
            "listen 443": f"listen 127.0.0.1:{self.https}",
            "127.0.0.1:8501 ": f"127.0.0.1:{workers[0]} ",
            "127.0.0.1:8502 ": f"127.0.0.1:{workers[1]} ",
            "127.0.0.1:8599;": f"127.0.0.1:{dashboard};",
        }.items():
            assert written in text, written
            text = text.replace(written, ours)
        (root / "evalkit.conf").write_text(text)
        (root / "nginx.conf").write_text(_MAIN.format(root=root))

    @contextmanager
    def running(self):
        """Run nginx until the block is left."""
        command = [program("nginx"), "-p", str(self.root), "-c", str(self.root / "nginx.conf")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: listens(self.https))
            yield self
        finally:
            process.terminate()
            process.wait(_PATIENCE)

    def request(self, method, path, headers=None, body=None, host=STUDY_HOST, tls=True):
        """Status, headers (list of pairs) and body of an answer; the certificate is checked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.https if tls else self.http)
        connection.timeout = _PATIENCE
        connection.connect()
        if tls:
            connection.sock = self.context().wrap_socket(connection.sock, server_hostname=host)
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, content, {"Host": host, **(headers or {})})
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def context(self) -> ssl.SSLContext:
        """What a browser that trusts our certificate has."""
        return ssl.create_default_context(cafile=self.certificate)

    def lines(self) -> list[list[str]]:
        """The access log's lines, in words: time, status, method, path, worker, seconds."""
        file = self.root / "evalkit.log"
        return [line.split() for line in file.read_text("utf-8").splitlines()]


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(is_so) -> None:
    """Until it is so."""
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Browser:
    """Somebody who came by a personal link, with the cookie they got."""

    def __init__(self, proxy: Proxy, token: str) -> None:
        self.proxy = proxy
        status, headers, _ = proxy.request("GET", f"/?token={token}")
        assert status == 303
        assert dict(headers)["location"] == "/"
        [self.set_cookie] = [value for name, value in headers if name.lower() == "set-cookie"]
        self.cookie = self.set_cookie.partition(";")[0]

    def post(self, name: str, body: dict, status: int = 200) -> dict:
        """The answer to what the page posts."""
        headers = {
            "Cookie": self.cookie,
            "Content-Type": "application/json",
            "X-Evalkit": "1",
            "Origin": f"https://{STUDY_HOST}",
            "Sec-Fetch-Site": "same-origin",
        }
        found, _, content = self.proxy.request("POST", f"/study/{name}", headers, body)
        assert found == status, content
        return json.loads(content)

    def begin(self) -> dict:
        """The state in which the first trial is shown."""
        state = self.post("session", WINDOW)
        self.session = {"session_id": state["session_id"]}
        version = state["consent"]["version"]
        state = self.post("consent", {**self.session, "version": version})
        return self.post("instructed", self.session) if state["stage"] != "vote" else state

    def vote(self, trial_id: str, choice: str) -> dict:
        """The state after a vote."""
        body = {"trial_id": trial_id, "choice": choice, "response_ms": 900, "revision": 1}
        return self.post("vote", {**self.session, **body, "reason": ""})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("deployment")
    return make_study(root / "study", n_prompts=8, votes_per_pair=50, trials_per_annotator=20)


@pytest.fixture(scope="module")
def tokens(folder):
    return iter([link.partition("token=")[2] for link in invite(folder, 12, NOW, "http://x")])


@pytest.fixture(scope="module")
def workers(folder, tokens):
    port = free_ports(2)
    with served(folder, port, 2):
        yield [port, port + 1]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, workers):
    root = tmp_path_factory.mktemp("proxy") / "nginx"
    with Proxy(root, workers, dashboard=workers[0]).running() as proxy:
        yield proxy


def test_from_link_to_votes_over_tls(proxy, folder, tokens):
    token = next(tokens)
    browser = Browser(proxy, token)
    flags = {flag.strip() for flag in browser.set_cookie.lower().split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= flags
    state = browser.begin()
    chosen = {}
    for choice in ("left", "right", "tie"):
        trial = state["trials"][0]["trial_id"]
        sizes = set()
        for side in ("left", "right"):
            status, headers, image = proxy.request(
                "GET", f"/study/image/{trial}/{side}", {"Cookie": browser.cookie}
            )
            assert (status, image[:4]) == (200, b"\x89PNG")
            assert dict(headers)["cache-control"] == "no-store"
            sizes.add(len(image))
        assert len(sizes) == 1
        chosen[trial] = choice
        state = browser.vote(trial, choice)
        assert state["vote"] == {"trial_id": trial, "choice": choice, "revision": 1}
    store = open_store(folder.store_address)
    votes = store.votes().set_index("trial_id")["choice"].to_dict()
    store.close()
    assert chosen.items() <= votes.items()


def test_the_page_comes_with_hsts_and_once_with_each_header(proxy, tokens):
    browser = Browser(proxy, next(tokens))
    status, headers, page = proxy.request("GET", "/", {"Cookie": browser.cookie})
    assert status == 200
    assert b"<title>" in page
    assert dict(headers)["Strict-Transport-Security"] == "max-age=31536000"
    names = [name.lower() for name, _ in headers]
    assert names.count("content-security-policy") == 1
    assert names.count("x-frame-options") == 1
    assert "nginx/" not in dict(headers)["Server"]


def test_plain_http_goes_to_tls(proxy):
    for host in (STUDY_HOST, DASHBOARD_HOST):
        status, headers, _ = proxy.request("GET", "/?token=abc", host=host, tls=False)
        assert status == 308
        assert dict(headers)["Location"] == f"https://{host}/?token=abc"


def test_another_host_name_gets_no_certificate(proxy):
    with pytest.raises(ssl.SSLError):
        proxy.request("GET", "/", host="elsewhere.example.org")
    with pytest.raises(http.client.RemoteDisconnected):
        proxy.request("GET", "/", host="elsewhere.example.org", tls=False)


def test_the_same_worker_for_the_same_cookie(proxy, workers):
    """Each of 20 cookies goes to one worker, and both workers get some of them."""
    used = set()
    for number in range(20):
        path = f"/study/image/of-{number}/left"
        for _ in range(3):
            proxy.request("GET", path, {"Cookie": f"evalkit=cookie-number-{number:08d}"})
        wait_for(lambda path=path: sum(line[3] == path for line in proxy.lines()) == 3)
        mine = {line[4] for line in proxy.lines() if line[3] == path}
        assert len(mine) == 1
        used |= mine
    assert used == {f"127.0.0.1:{port}" for port in workers}


def test_the_page_runs_over_its_websocket(proxy, tokens):
    """The script's first run arrives: a session, and the page's component with its texts."""
    browser = Browser(proxy, next(tokens))
    message = BackMsg()
    message.rerun_script.query_string = ""
    with open_websocket(proxy, {"Cookie": browser.cookie}) as page:
        page.send(message.SerializeToString())
        heard = []
        while not heard or heard[-1].WhichOneof("type") != "script_finished":
            heard.append(ForwardMsg.FromString(page.recv(timeout=_PATIENCE)))
    kinds = [one.WhichOneof("type") for one in heard]
    assert "new_session" in kinds
    assert any(b"evalkit_session" in one.SerializeToString() for one in heard)


def open_websocket(proxy: Proxy, headers: dict[str, str]):
    """The page's websocket, as a browser opens it."""
    raw = socket.create_connection(("127.0.0.1", proxy.https))
    return connect(
        f"wss://{STUDY_HOST}/_stcore/stream",
        sock=raw,
        ssl=proxy.context(),
        server_hostname=STUDY_HOST,
        origin=f"https://{STUDY_HOST}",
        subprotocols=["streamlit"],
        additional_headers=headers,
        max_size=None,
    )


def test_without_a_cookie_there_is_no_websocket(proxy):
    with pytest.raises(Exception, match="403"), open_websocket(proxy, {}):
        pass


@pytest.mark.parametrize("host", [STUDY_HOST, DASHBOARD_HOST])
@pytest.mark.parametrize("path", ["", "/", "/x", "?a=b"])
def test_metrics_are_blocked_by_the_proxy_itself(proxy, host, path):
    status, _, page = proxy.request("GET", f"/_stcore/metrics{path}", host=host)
    assert status == 404
    assert b"<center>nginx</center>" in page


@pytest.mark.parametrize(
    "path", ["/_stcore/%6detrics", "//_stcore//metrics", "/x/../_stcore/metrics"]
)
def test_metrics_are_blocked_however_they_are_spelt(proxy, path):
    status, _, page = proxy.request("GET", path)
    assert status == 404
    assert b"<center>nginx</center>" in page


def test_large_bodies_do_not_reach_the_app(proxy):
    status, _, page = proxy.request("POST", "/study/vote", body=b"x" * 17_000)
    assert status == 413
    assert b"<center>nginx</center>" in page


def test_the_logs_keep_neither_tokens_nor_addresses(proxy, tokens):
    token = next(tokens)
    browser = Browser(proxy, token)
    secret = browser.cookie.partition("=")[2]
    proxy.request("GET", f"/?token={token}", tls=False)
    wait_for(lambda: [line for line in proxy.lines() if line[3] == "/"])
    for file in proxy.root.glob("*.log"):
        text = file.read_text("utf-8")
        assert token not in text
        assert secret not in text
        assert not any(line.startswith("127.0.0.1") for line in text.splitlines())


def test_what_a_visitor_forges_does_not_reach_the_app(tmp_path):
    """The app trusts these headers, so the proxy writes them anew: by an app that echoes them."""
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "Forwarded": "for=6.6.6.6;proto=http",
    }
    with echo_server() as port:
        proxy = Proxy(tmp_path / "nginx", [port, port], dashboard=port)
        with proxy.running():
            for host in (STUDY_HOST, DASHBOARD_HOST):
                for path in ("/", "/_stcore/stream"):
                    _, _, content = proxy.request("GET", path, forged, host=host)
                    got = {name.lower(): value for name, value in json.loads(content)}
                    assert got["x-forwarded-for"] == "127.0.0.1"
                    assert got["x-forwarded-proto"] == "https"
                    assert got["host"] == host
                    assert "forwarded" not in got


def test_while_a_worker_is_down_its_annotators_go_to_the_next(proxy, tokens, workers, folder):
    """kill -9; the very next vote is answered, and `evalkit serve` brings the worker back."""
    browser = Browser(proxy, next(tokens))
    trial = browser.begin()["trials"][0]["trial_id"]
    path = f"/study/image/{trial}/left"
    proxy.request("GET", path, {"Cookie": browser.cookie})
    wait_for(lambda: any(line[3] == path for line in proxy.lines()))
    [port] = {int(line[4].rpartition(":")[2]) for line in proxy.lines() if line[3] == path}
    os.kill(worker_of(port), signal.SIGKILL)
    wait_for(lambda: not listens(port))
    state = browser.vote(trial, "left")
    assert state["vote"]["trial_id"] == trial
    wait_for(lambda: listens(port))


def worker_of(port: int) -> int:
    """The process that listens on this port."""
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    return next(c.pid for c in listening if c.laddr.port == port)
