"""The proxies of docs/administration.md, word for word, in front of a laboratory: TLS, sign-in, a large upload.

Changed are only the ports, the paths of the certificate, and, since no authority is reached from a test, that Caddy is
given the certificate which it would fetch by itself.
"""

from __future__ import annotations

import http.client
import io
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image
from playwright.sync_api import WebSocket, expect, sync_playwright

from her2core.settings import Settings
from tests.browser.conftest import PATIENCE_MS, ROOT, Server, dark_page
from tests.conftest import chromium
from tests.pages.lab import PASSWORDS, POSITIVE, draw_region
from tests.proof import LONG
from tests.served import free_port

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

HOST = "her2.example.org"
GUIDE = (ROOT / "docs" / "administration.md").read_text(encoding="utf-8")
NGINX, CADDY = "nginx", "caddy"
_QUIET_S = 80  # beyond the 60 s after which nginx cuts a quiet connection unless it is told otherwise
_NGINX_AROUND = """daemon off;
user root;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{site}
}}
"""


def snippet(fence: str, first: str) -> str:
    """The code block of the guide that opens with this fence and line."""
    found = re.search(rf"^```{fence}\n({re.escape(first)}.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/administration.md has no block that begins with {first}"
    return found.group(1)


def put_in(text: str, **others: str) -> str:
    """The text with each key put in place of what stands there; each must be there."""
    for old, new in others.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for HOST that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "proxy.pem", folder / "proxy.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def nginx(folder: Path, server: Server, port: int, plain: int) -> list[str]:
    """nginx with the site of the guide; the command that runs it."""
    pem, key = certificate(folder)
    site = put_in(
        snippet("nginx", "server {"),
        **{
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            f"/etc/ssl/{HOST}.pem": str(pem),
            f"/etc/ssl/private/{HOST}.key": str(key),
            "127.0.0.1:8501": f"127.0.0.1:{server.port}",
        },
    )
    (folder / "nginx.conf").write_text(_NGINX_AROUND.format(folder=folder, site=site), encoding="utf-8")
    return [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, server: Server, port: int, plain: int) -> list[str]:
    """Caddy with the site of the guide; the command that runs it."""
    pem, key = certificate(folder)
    site = put_in(
        snippet("", f"{HOST} {{"),
        **{f"{HOST} {{": f"{HOST} {{\n    tls {pem} {key}", "127.0.0.1:8501": f"127.0.0.1:{server.port}"},
    )
    around = f"{{\n    admin off\n    http_port {plain}\n    https_port {port}\n}}\n"
    (folder / "Caddyfile").write_text(around + site, encoding="utf-8")
    return [CADDY, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """The proxy, from when it listens."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            told = (folder / "proxy.log").read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None, told
            assert time.monotonic() < until, told
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def status(port: int, *, secure: bool, length: int | None = None) -> tuple[int, str]:
    """What the proxy answers to a request for the first page (or to one that announces a body), and where it sends."""
    connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    if secure:
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        wrapped = unverified.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=HOST)
        connection.sock = wrapped
    try:
        connection.putrequest("GET" if length is None else "PUT", "/", skip_host=True)
        connection.putheader("Host", HOST)
        if length is not None:
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or ""
    finally:
        connection.close()


@pytest.mark.parametrize(("name", "made"), [(NGINX, nginx), (CADDY, caddy)])
def test_behind_the_proxy_of_the_guide_people_sign_in_and_upload_over_tls(
    name: str, made: Callable[[Path, Server, int, int], list[str]], server: Server, tmp_path: Path
) -> None:
    if shutil.which(name, path="/usr/sbin:/usr/bin:/bin") is None:
        pytest.skip(f"no {name} here: apt-get install {name}")
    case = server.lab.open_case()
    small, large = tmp_path / "small.png", tmp_path / "large.tif"
    small.write_bytes(draw_region(POSITIVE))
    drawn = np.asarray(Image.open(io.BytesIO(draw_region(POSITIVE, 130))).convert("RGB"))
    field = np.tile(drawn, (2400 // drawn.shape[0] + 1, 2400 // drawn.shape[1] + 1, 1))
    tifffile.imwrite(large, field, photometric="rgb")
    assert large.stat().st_size > 16 << 20  # nginx takes one megabyte unless it is told otherwise
    port, plain = free_port(), free_port()
    sockets: list[WebSocket] = []
    with running(made(tmp_path, server, port, plain), tmp_path, port), sync_playwright() as play:
        rules = [f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--ignore-certificate-errors", "--no-sandbox"]
        browser = play.chromium.launch(executable_path=chromium(), args=rules)
        page = dark_page(browser)
        page.on("websocket", lambda opened: sockets.append(opened))
        page.goto(f"https://{HOST}:{port}/")
        page.get_by_label("User name").fill("berg")
        page.get_by_label("Password", exact=True).fill(PASSWORDS["berg"])
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.locator(f".st-key-open_{case.id} button").click(timeout=PATIENCE_MS)
        page.locator("input[type=file]").set_input_files([str(small), str(large)])
        expect(page.locator("[class*=st-key-region_] img")).to_have_count(2, timeout=PATIENCE_MS)
        if LONG:
            page.wait_for_timeout(1000 * _QUIET_S)
        page.get_by_role("link", name="Worklist").click()
        expect(page.locator(f".st-key-open_{case.id} button")).to_be_visible(timeout=PATIENCE_MS)
        assert [s.url.partition("/_stcore")[0] for s in sockets] == [f"wss://{HOST}:{port}"]  # and it was never lost
        browser.close()
        stored = {server.lab.log.images.get(r.image_sha256) for r in server.lab.log.regions(case.id)}
        assert len(stored) == 2
        assert status(port, secure=True)[0] == 200
        code, location = status(plain, secure=False)
        assert code in (301, 308)
        assert location.startswith(f"https://{HOST}")
        if name == NGINX:  # as large as the setting allows, with what a form adds, and not much more
            allowed = Settings().max_upload_mb << 20
            assert status(port, secure=True, length=allowed + (32 << 20))[0] == 413
            assert (Settings().max_upload_mb + 1) << 20 < 1024**2 * int(
                re.findall(r"client_max_body_size (\d+)m", GUIDE)[0]
            )
