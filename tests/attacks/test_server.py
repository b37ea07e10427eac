"""Attacks on a running server, without a browser: what is sent is what an attacker would send."""

from __future__ import annotations

import contextlib
import http.client
import random
import select
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.util import calc_hash
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from her2core.records import Role
from her2core.ui.frame import PAGES
from tests.attacks.visitor import Visitor, put, xsrf_token
from tests.browser.conftest import Server
from tests.pages.app import ROOT
from tests.pages.lab import PASSWORDS, POSITIVE, TestLaboratory
from tests.proof import LONG, Proof, Record, times
from tests.served import free_port

ACCESSION, PATIENT = "S26-777", "Muster, Erika"
FILES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
BY_ROLE = {Role.PATHOLOGIST: "berg", Role.LAB_MANAGER: "lind", Role.ADMINISTRATOR: "nair"}
ALLOWED = {
    file: {role for role in Role if any(f"pages/{file}.py" == page for page, _, _ in PAGES[role])} for file in FILES
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A laboratory with a case that waits for review, served."""
    folder = tmp_path_factory.mktemp("served")
    lab = TestLaboratory.make(folder / "data")
    lab.analysed(POSITIVE, ACCESSION)
    served = Server(lab, free_port(), folder / "server.log")
    try:
        served.start()
        yield served
    finally:
        served.stop()
        lab.log.close()


def shows_case(words: str) -> bool:
    return ACCESSION in words or PATIENT in words


def hashes(file: str) -> tuple[str, str]:
    """How Streamlit names a page in its messages: after its URL, and after its file as long as app.py never ran."""
    return calc_hash(file), calc_hash(str(ROOT / "pages" / f"{file}.py"))


def drawn_by(messages: list[ForwardMsg], file: str) -> int:
    """How many elements a page's own script drew."""
    return sum(m.HasField("delta") and m.metadata.active_script_hash in hashes(file) for m in messages)


def ways_to(file: str) -> list[dict[str, str]]:
    """Everything with which a client can ask for a page."""
    named = [{"page": name} for name in (file, f"/{file}", f"pages/{file}.py", f"{file}.py")]
    by_hash = [{"script_hash": value} for value in hashes(file)]
    return [*named, *by_hash, {"page": file, "query": "embed=true&case=1&user=1"}] if LONG else by_hash[:1]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_page_asked_for_without_a_session_shows_nothing_of_any_case(
    record_property: Record, server: Server
) -> None:
    proof = Proof(record_property, "Attacks", "Every page's URL without a session, asked for in each way there is")
    for file in FILES:
        with Visitor.arriving(server.port) as visitor:
            for way in ways_to(file):
                words = visitor.run(**way)  # type: ignore[arg-type]
                assert not shows_case(words), (file, way)
                assert drawn_by(visitor.messages, file) == 0, (file, way)
                proof.tries += 1
    with Visitor.arriving(server.port) as visitor:  # the very same question with a session is answered
        assert shows_case(visitor.sign_in("berg", PASSWORDS["berg"]))
    proof.holds("the sign-in page or nothing; no element of the page was drawn")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_page_asked_for_with_each_wrong_role_draws_nothing(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Attacks", "Every page's URL with each wrong role, asked for in each way there is")
    for role, name in BY_ROLE.items():
        with Visitor.arriving(server.port) as visitor:
            visitor.sign_in(name, PASSWORDS[name])
            for file in FILES:
                for way in ways_to(file) if role not in ALLOWED[file] else ():
                    words = visitor.run(**way)  # type: ignore[arg-type]
                    assert drawn_by(visitor.messages, file) == 0, (role, file, way)
                    assert role is not Role.ADMINISTRATOR or not shows_case(words)
                    proof.tries += 1
                if role in ALLOWED[file]:
                    visitor.run(file)
                assert (drawn_by(visitor.messages, file) > 0) == (role in ALLOWED[file]), (role, file)
    proof.holds("no element of the page was drawn; an administrator saw no patient on any page")


@pytest.mark.long
def test_a_forged_session_opens_nothing(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Attacks", "Forged session: ids, cookies, session values, fragments of others")
    token = xsrf_token(server.port)
    user = server.lab.person("berg")
    with Visitor.arriving(server.port, Cookie=f"_streamlit_xsrf={token}") as berg:
        assert shows_case(berg.sign_in("berg", PASSWORDS["berg"]))
        berg.run("review")
        live = berg.session_id
        fragments = [m.auto_rerun.fragment_id for m in berg.messages if m.HasField("auto_rerun")]
        fragments += [m.delta.fragment_id for m in berg.messages if m.HasField("delta") and m.delta.fragment_id]
        assert fragments
        ids = [*(str(uuid.UUID(int=random.getrandbits(128))) for _ in range(times(3, 200))), "..", "1", live]
        for given in ids:
            cookie = f"_streamlit_xsrf={xsrf_token(server.port)}"  # of the attacker's own browser
            with Visitor.arriving(server.port, ["streamlit", token, given], Cookie=cookie) as visitor:
                assert not shows_case(visitor.run("worklist")), given
                proof.tries += 1
        cookies = {"_streamlit_user": '{"is_logged_in":true,"sub":"berg"}', "_streamlit_session": live, "her2core": "1"}
        for name, value in cookies.items():
            quoted = f"_streamlit_xsrf={token}; {name}={value}"
            with Visitor.arriving(server.port, ["streamlit", token], Cookie=quoted) as visitor:
                assert not shows_case(visitor.run("worklist")), name
                proof.tries += 1
        with Visitor.arriving(server.port) as visitor:
            visitor.run()
            forged = [
                WidgetState(id="her2core_user_id", int_value=user.id),
                WidgetState(id="her2core_password_since", string_value="2026-01-01T00:00:00+00:00"),
                WidgetState(id="her2core_last_seen", double_value=1e12),
                WidgetState(id="her2core_case_id", int_value=1),
                WidgetState(id="her2core_page", string_value="pages/review.py"),
            ]
            for prefix in ("", "$$ID-0-", "$$STREAMLIT_INTERNAL_KEY_"):
                for state in forged:
                    state.id = prefix + state.id
                assert not shows_case(visitor.run("worklist", widgets=forged))
                proof.tries += 1
            for fragment in dict.fromkeys(fragments):
                with contextlib.suppress(TimeoutError):  # what no fragment of this session is gets no answer
                    visitor.run(fragment=fragment, script_hash=hashes("review")[0], patience_s=5)
                assert not shows_case(visitor.words())
                proof.tries += 1
    proof.holds("every one of them stood before the sign-in page")


def test_a_page_of_another_site_cannot_open_a_session(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Attacks", "Websocket opened by a page of another site (Origin)")
    for origin in ("http://evil.example", "null", f"http://127.0.0.1.evil.example:{server.port}", "file://"):
        with pytest.raises((InvalidStatus, ConnectionClosed)), Visitor.arriving(server.port, Origin=origin) as visitor:
            visitor.run()
        proof.tries += 1
    proof.holds("refused before the connection was made")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_is_no_message_ends_the_connection_and_nothing_else(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Fuzzing", "Websocket messages of random bytes")
    chance = random.Random(9)
    for _ in range(times(10, 500)):
        with connect(f"ws://127.0.0.1:{server.port}/_stcore/stream", subprotocols=["streamlit"]) as session:  # type: ignore[list-item]
            try:
                session.send(chance.randbytes(chance.randrange(1, 400)))
                session.recv(0.05)
            except (TimeoutError, ConnectionClosed):
                pass
        proof.tries += 1
    with Visitor.arriving(server.port) as visitor:
        assert shows_case(visitor.sign_in("berg", PASSWORDS["berg"]))
    proof.holds("the connection was closed or the message left unread; the server went on")


def test_the_upload_endpoint_takes_files_of_signed_in_sessions_only(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Attacks", "File sent straight to the upload endpoint")
    token = xsrf_token(server.port)
    before = set(server.lab.data_dir.rglob("*"))
    with Visitor.arriving(server.port) as berg, Visitor.arriving(server.port) as nobody:
        berg.sign_in("berg", PASSWORDS["berg"])
        nobody.run()
        sessions = [str(uuid.uuid4()), "..", "%2e%2e%2f%2e%2e", "0", nobody.session_id]
        refused = [put(server.port, berg.session_id, "f", b"x")]  # a form of another site has no token
        refused.append(put(server.port, berg.session_id, "f", b"x", token=xsrf_token(server.port), cookie=token))
        refused += [put(server.port, session, str(uuid.uuid4()), b"x" * 1000, token=token) for session in sessions]
        assert all(400 <= status < 500 for status in refused), refused
        proof.tries += len(refused)
        for name in ("../../../../tmp/evil.png", "..\\\\evil.png", "<script>alert(1)</script>.png", "a\\0b.png"):
            assert put(server.port, berg.session_id, str(uuid.uuid4()), b"x", token=token, name=name) == 204
            proof.tries += 1
        for file_id in ("..%2f..%2f..%2fevil", "....", "%00"):
            put(server.port, berg.session_id, file_id, b"x", token=token)
            proof.tries += 1
    assert set(server.lab.data_dir.rglob("*")) - before == set()
    assert not Path("/tmp/evil.png").exists()
    proof.holds(
        "refused without token, without session, with a session that nobody has signed in to; what a signed-in session "
        "sends stays in memory until a page takes it, and no name or id becomes a path"
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_path_leads_out_of_what_is_served(record_property: Record, server: Server) -> None:
    proof = Proof(record_property, "Attacks", "Path traversal in URLs: data folder, keys, settings, /etc/passwd")
    data = server.lab.data_dir
    targets = [
        "/etc/passwd",
        str(data / "caselog.sqlite"),
        str(data / "settings.toml"),
        str(data / "keys/registry.json"),
    ]
    ups = ["../" * 12, "..%2f" * 12, "%2e%2e/" * 12, "..%252f" * 12, "..\\" * 12, "....//" * 12, "/"]
    roots = ["/", "/media/", "/component/", "/app/static/", "/static/", "/_stcore/", "/_stcore/upload_file/", "/pages/"]
    secrets = (b"root:", b"SQLite format", b"laboratory_name", b'"signature"')
    for root in roots:
        for up in ups:
            for target in targets:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
                connection.putrequest("GET", f"{root}{up}{target.lstrip('/')}", skip_host=False)
                connection.endheaders()
                body = connection.getresponse().read()
                connection.close()
                assert not any(secret in body for secret in secrets), (root, up, target)
                proof.tries += 1
    proof.holds("not one answered with the file")


def peak_mb(pid: int) -> float:
    """Largest resident memory of a process so far, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def pour(port: int, head: bytes, chunked: bool, total: int) -> tuple[int, bytes]:
    """Sends up to `total` bytes behind a header, until the server has had enough; bytes sent, and its answer."""
    block, sent, answer = bytes(1 << 20), 0, b""
    framed = b"%x\r\n" % len(block) + block + b"\r\n" if chunked else block
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        try:
            sock.sendall(head)
            sock.settimeout(0.3)
            answer = sock.recv(4096) if not chunked else b""
        except TimeoutError:
            pass
        sock.settimeout(60)
        with contextlib.suppress(OSError):
            while not answer and sent < total and not select.select([sock], [], [], 0)[0]:
                sock.sendall(framed)
                sent += len(block)
        with contextlib.suppress(OSError):
            answer = answer or sock.recv(4096)
    return sent, answer


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunked", [False, True], ids=["length told", "length not told"])
def test_two_gigabytes_are_refused_early_and_fill_no_memory(
    record_property: Record, server: Server, chunked: bool
) -> None:
    size = times(300, 2000) * 1_000_000 if chunked else 2_000_000_000
    told = "without telling its length (chunked)" if chunked else "whose length is told"
    proof = Proof(record_property, "Attacks", f"Upload of {size / 1e9:.1f} GB {told}, by somebody signed in")
    assert server.process is not None
    token = xsrf_token(server.port)
    with Visitor.arriving(server.port) as berg:
        berg.sign_in("berg", PASSWORDS["berg"])
        before_mb = peak_mb(server.process.pid)
        edge = "edge"
        head = (
            f"PUT /_stcore/upload_file/{berg.session_id}/{uuid.uuid4()} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"X-Xsrftoken: {token}\r\nCookie: _streamlit_xsrf={token}\r\n"
            f"Content-Type: multipart/form-data; boundary={edge}\r\n"
        )
        head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {size}\r\n\r\n"
        part = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="big.tif"\r\n\r\n'.encode()
        first = head.encode() + (b"%x\r\n" % len(part) + part + b"\r\n" if chunked else b"")
        sent, answer = pour(server.port, first, chunked, size)
        assert sent < size
        assert not answer or b" 413 " in answer.split(b"\r\n")[0], answer[:100]
        assert sent < 260_000_000  # the limit is 200 MB, and some of it was on its way
        grown_mb = peak_mb(server.process.pid) - before_mb
        assert grown_mb < 150
        assert shows_case(berg.run("worklist"))  # the server works on
    proof.tries += 1
    proof.holds(
        f"413 after {sent / 1e6:.0f} MB; the server's memory grew by {max(0.0, grown_mb):.0f} MB, "
        "and it went on working"
    )
