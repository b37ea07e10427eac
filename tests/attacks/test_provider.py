"""Sign-in through a real OpenID provider, a process of its own: over HTTP and the websocket, and once in Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect
from streamlit.proto.WidgetStates_pb2 import WidgetState

from her2core.records import Role
from tests.attacks.visitor import Visitor
from tests.browser.conftest import PATIENCE_MS, Server, browser
from tests.identity_provider import CLIENT_ID, CLIENT_SECRET, HOW
from tests.pages.app import ROOT
from tests.pages.lab import POSITIVE, TestLaboratory
from tests.proof import LONG, Proof, Record
from tests.served import free_port

__all__ = ["browser"]

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        find_spec("httpx") is None, reason="st.login needs httpx, which requirements.txt does not name yet"
    ),
]
ACCESSION, BUTTON = "S26-778", "Sign in with your organisation"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass
class Client:
    """A browser's HTTP: follows no redirect by itself and keeps the cookies of the application."""

    cookies: dict[str, str] = field(default_factory=dict)
    opener: ClassVar = urllib.request.build_opener(_Stay)

    def open(self, url: str, data: bytes | None = None) -> tuple[int, str]:
        """Status and Location of an answer."""
        request = urllib.request.Request(url, data, {"Cookie": self.header} if self.cookies else {})
        try:
            with self.opener.open(request, timeout=60) as answer:
                status, headers = int(answer.status), answer.headers
        except urllib.error.HTTPError as error:
            status, headers = error.code, error.headers
            error.close()
        self._keep(headers)
        return status, str(headers.get("Location", ""))

    def _keep(self, headers: Message) -> None:
        for line in headers.get_all("Set-Cookie") or []:
            name, _, value = str(line).partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if "max-age=0" in str(line).lower():
                del self.cookies[name]

    @property
    def header(self) -> str:
        """The cookies as a browser sends them."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


@dataclass
class House:
    """A served laboratory and its provider. berg is bound to the provider's subject s-1."""

    server: Server
    issuer: str

    def next(self, **claims: Any) -> None:
        """Who comes next, with which claims."""
        body = json.dumps({"roles": ["pathologist"], **claims}).encode()
        with urllib.request.urlopen(f"{self.issuer}/next", body, timeout=30):
            pass

    def arriving(self, client: Client) -> Any:
        """A page opened with a client's cookies."""
        if "_streamlit_xsrf" not in client.cookies:
            client.open(f"{self.server.url}/_stcore/health")
        protocols = ["streamlit", client.cookies["_streamlit_xsrf"]]  # without, Streamlit does not look at who it is
        return Visitor.arriving(self.server.port, protocols, Cookie=client.header, Origin=self.server.url)

    def to_provider(self, client: Client) -> str:
        """Where the button on the sign-in page leads to at the provider."""
        with self.arriving(client) as visitor:
            visitor.run()
            pressed = WidgetState(id=visitor.widget("button", BUTTON), trigger_value=True)
            visitor.run(widgets=[pressed])
            url = next(m.auth_redirect.url for m in visitor.messages if m.HasField("auth_redirect"))
        status, where = client.open(self.server.url + url if url.startswith("/") else url)
        assert status == 302
        assert where.startswith(f"{self.issuer}/authorize?")
        return where

    def back(self, where: str) -> str:
        """The address with the code, after the button at the provider was pressed."""
        status, callback = Client().open(where, b"")
        assert status == 302
        assert callback.startswith(f"{self.server.url}/oauth2callback?")
        return callback

    def signed_in_by(self, **claims: Any) -> Client:
        """A client that went the whole way; whether it is in shows at the next page."""
        self.next(**claims)
        client = Client()
        status, where = client.open(self.back(self.to_provider(client)))
        assert (status, urlsplit(where).path) == (302, "/")
        return client

    def words(self, client: Client) -> str:
        """What the application says to a client."""
        with self.arriving(client) as visitor:
            said: str = visitor.run()
        return said


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("oidc")
    port, provider_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{provider_port}"
    provider = subprocess.Popen([sys.executable, "-m", "tests.identity_provider", str(provider_port)], cwd=ROOT)
    lab = TestLaboratory.make(folder / "data")
    with (folder / "data" / "settings.toml").open("a") as file:
        file.write('oidc_role_claim = "roles"\n')
    lab.analysed(POSITIVE, ACCESSION)
    lab.accounts.link(lab.person("berg").id, issuer, "s-1", lab.person("nair"))
    lab.accounts.link(lab.person("okafor").id, issuer, "s-2", lab.person("nair"))
    served = Server(lab, port, folder / "server.log")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STREAMLIT_SECRETS_FILES", str(secrets_file(folder, served.url, issuer)))
        try:
            served.start()
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    urllib.request.urlopen(f"{issuer}/jwks", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield House(served, issuer)
        finally:
            served.stop()
            provider.terminate()
            provider.wait(30)
            lab.log.close()


def secrets_file(folder: Path, url: str, issuer: str) -> Path:
    """As docs/administration.md shows it."""
    path = folder / "secrets.toml"
    path.write_text(
        f'[auth]\nredirect_uri = "{url}/oauth2callback"\ncookie_secret = "a long random text of the tests"\n'
        f'client_id = "{CLIENT_ID}"\nclient_secret = "{CLIENT_SECRET}"\n'
        f'server_metadata_url = "{issuer}/.well-known/openid-configuration"\n'
        'client_kwargs = { code_challenge_method = "S256" }\n'
    )
    return path


def is_in(words: str) -> bool:
    return ACCESSION in words


def test_who_the_provider_vouches_for_is_in_with_the_role_that_it_names(house: House) -> None:
    log = house.server.lab.log
    client = house.signed_in_by()
    assert is_in(house.words(client))
    entry = log.audit(limit=1, actions=("signed in",))[0]
    assert (entry.by_username, entry.detail) == ("berg", {"by": "identity provider"})

    assert house.server.lab.person("okafor").role is Role.PATHOLOGIST
    house.words(house.signed_in_by(sub="s-2", roles=["billing", "lab-manager"]))
    assert house.server.lab.person("okafor").role is Role.LAB_MANAGER


def test_tokens_that_are_not_quite_right_open_nothing(record_property: Record, house: House) -> None:
    proof = Proof(record_property, "Attacks", "OpenID sign-in: wrong audience, issuer, nonce, signature, times, roles")
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"aud": "another-program"},
        {"aud": ["another-program", "yet-another"]},
        {"aud": None},
        {"iss": "http://evil.example"},
        {"iss": f"{house.issuer}/"},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"exp": now - 3600},
        {"exp": None},
        {"iat": now + 7200, "exp": now + 9000},
        {"sub": None},
        {"sub": "s-3"},
        {"sub": "berg", "email": "berg@example.com", "preferred_username": "berg"},
        {"roles": None},
        {"roles": []},
        {"roles": ["director"]},
        {"roles": ["pathologist", "administrator"]},
        *({"_how": how} for how in HOW),
    ]
    for claims in wrong if LONG else wrong[::8]:
        assert not is_in(house.words(house.signed_in_by(**claims))), claims
        proof.tries += 1
    house.server.lab.accounts.disable(house.server.lab.person("berg").id, house.server.lab.person("nair"))
    assert not is_in(house.words(house.signed_in_by()))
    house.server.lab.accounts.enable(house.server.lab.person("berg").id, house.server.lab.person("nair"))
    assert is_in(house.words(house.signed_in_by()))
    proof.tries += 1
    proof.holds(
        "the sign-in page each time, against a real provider; the right token opened the worklist before and after"
    )


def test_a_code_is_good_once_and_for_the_browser_that_asked_for_it(record_property: Record, house: House) -> None:
    proof = Proof(
        record_property, "Attacks", "OpenID sign-in: code used twice, given to another browser, state made up"
    )
    house.next()
    victim, thief = Client(), Client()
    callback = house.back(house.to_provider(victim))
    thief.open(callback)  # has never asked for anything
    assert not is_in(house.words(thief))
    own = house.to_provider(thief)
    state = dict(part.split("=") for part in urlsplit(own).query.split("&"))["state"]
    thief.open(callback.split("state=")[0] + f"state={state}")  # the victim's code in the thief's own sign-in
    assert not is_in(house.words(thief))
    victim.open(callback.replace("state=", "state=x"))
    assert not is_in(house.words(victim))
    again = house.back(house.to_provider(victim))
    victim.open(again)
    assert is_in(house.words(victim))
    late = Client({name: value for name, value in victim.cookies.items() if not name.startswith("_streamlit_user")})
    late.open(again)
    assert not is_in(house.words(late))
    proof.tries += 4
    proof.holds("the sign-in page each time: state and PKCE bind the code to the browser that asked, and it is used up")


@pytest.mark.long
def test_the_session_ends_when_the_token_does_and_its_cookie_opens_no_other(house: House) -> None:
    now = int(time.time())
    client = house.signed_in_by(exp=now + 15)
    with house.arriving(client) as visitor:
        assert is_in(visitor.run())
        time.sleep(max(0.0, now + 16 - time.time()))
        words = visitor.run("worklist")
        assert not is_in(words)
        assert "vouched for you until now" in words
    assert not is_in(house.words(client))
    reasons = [
        entry.detail.get("reason") for entry in house.server.lab.log.audit(limit=1, actions=("sign-in refused",))
    ]
    assert reasons == ["expired token"]


@pytest.mark.long
@pytest.mark.browser
def test_in_a_browser_one_signs_in_at_the_provider_and_out_again(house: House, browser: Browser) -> None:
    house.next()
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(house.server.url)
    page.get_by_role("button", name=BUTTON).click()
    page.locator("#go").click()
    expect(page.get_by_text(ACCESSION).first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Miriam Berg").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name=BUTTON)).to_be_visible(timeout=PATIENCE_MS)
    page.reload()
    expect(page.get_by_role("button", name=BUTTON)).to_be_visible(timeout=PATIENCE_MS)
    assert ACCESSION not in page.content()
    page.context.close()
