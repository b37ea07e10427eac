"""Somebody who speaks to the server without a browser: the websocket and the upload endpoint of Streamlit, by hand."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

__all__ = ["Visitor", "put", "xsrf_token"]

_PATIENCE_S = 120.0


@dataclass
class Visitor:
    """One connection and what the server said during the last run."""

    port: int
    session: ClientConnection
    said: list[bytes] = field(default_factory=list)
    messages: list[ForwardMsg] = field(default_factory=list)

    @staticmethod
    @contextlib.contextmanager
    def arriving(port: int, protocols: Sequence[str] = (), **headers: str) -> Iterator[Visitor]:
        """Opens the websocket; `protocols` are Streamlit's: "streamlit", XSRF token, session to go on with."""
        given: Any = list(protocols) or ["streamlit"]
        with connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            subprotocols=given,
            additional_headers=headers,
            max_size=None,
            open_timeout=_PATIENCE_S,
            ping_interval=None,  # the machine may be busy
        ) as session:
            yield Visitor(port, session)

    def run(
        self,
        page: str = "",
        *,
        script_hash: str = "",
        fragment: str = "",
        query: str = "",
        widgets: Sequence[WidgetState] = (),
        patience_s: float = _PATIENCE_S,
    ) -> str:
        """Asks for a run of a page and returns all that the server said in it, bytes that are no text replaced."""
        message = BackMsg()
        asked = message.rerun_script
        asked.page_name, asked.page_script_hash, asked.fragment_id, asked.query_string = (
            page,
            script_hash,
            fragment,
            query,
        )
        asked.widget_states.widgets.extend(widgets)
        self.session.send(message.SerializeToString())
        self.said, self.messages = [], []
        while True:
            raw = self.session.recv(patience_s)
            assert isinstance(raw, bytes)
            answer = ForwardMsg.FromString(raw)
            self.said.append(raw)
            self.messages.append(answer)
            # A rerun (st.rerun) ends with another status and is followed by the next run.
            if answer.WhichOneof("type") == "script_finished" and answer.script_finished != 2:
                return self.words()

    def words(self) -> str:
        """All of the last run, as text; the backslashes before Markdown's own signs are left out."""
        return b"\n".join(self.said).decode("utf-8", "replace").replace("\\", "")

    @property
    def session_id(self) -> str:
        """The id that the server gave to this session."""
        return next(m.new_session.initialize.session_id for m in self.messages if m.HasField("new_session"))

    def widget(self, kind: str, label: str) -> str:
        """Id of the widget with this label in the last run."""
        for message in self.messages:
            element = message.delta.new_element
            if element.WhichOneof("type") == kind and getattr(element, kind).label == label:
                return str(getattr(element, kind).id)
        raise LookupError(label)

    def sign_in(self, name: str, password: str) -> str:
        """Fills in the form as the browser would; what the server says then."""
        self.run()
        return self.run(
            widgets=[
                WidgetState(id=self.widget("text_input", "User name"), string_value=name),
                WidgetState(id=self.widget("text_input", "Password"), string_value=password),
                WidgetState(id=self.widget("button", "Sign in"), trigger_value=True),
            ]
        )


def xsrf_token(port: int) -> str:
    """The token that any visitor of the application is given as a cookie."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30):
        pass
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/host-config", timeout=30):
        pass
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=30) as answer:
        found = re.search(r"_streamlit_xsrf=([^;]+)", answer.headers.get("Set-Cookie", ""))
    if found is None:
        raise LookupError("no XSRF cookie")
    return found[1]


def put(
    port: int,
    session_id: str,
    file_id: str,
    data: bytes,
    *,
    token: str | None = None,
    cookie: str | None = None,
    name: str = "f.png",
) -> int:
    """HTTP status of a file that is sent to the upload endpoint, with a token and a cookie that says the same."""
    edge = "edge0f0a0file"
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    body = (
        f"--{edge}\r\n{disposition}\r\nContent-Type: image/png\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    if token is not None:
        headers |= {"X-Xsrftoken": token, "Cookie": f"_streamlit_xsrf={cookie or token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("PUT", f"/_stcore/upload_file/{session_id}/{file_id}", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
