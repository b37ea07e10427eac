"""Files are taken from signed-in sessions only, and no session holds more of them than a case can need.

Streamlit's upload endpoint asks for a live session, which every visitor has, and keeps what it takes in memory: without
this, somebody who never signed in could fill the memory of the server.
"""

from __future__ import annotations

from typing import Final

from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

__all__ = ["MOST_WAITING", "guard_uploads"]

MOST_WAITING: Final = 12
"""As many files of the largest size may a session have sent that no page has taken yet."""

_GUARDED: Final = "her2core_uploads_are_guarded"


def guard_uploads(user_key: str, largest_bytes: int) -> None:
    """Lets the endpoint refuse a file, before it is read, unless its session holds `user_key` and has room for it.

    Done once a server. Without a server, as in tests of pages, nothing is done.
    """
    if not Runtime.exists():
        return
    runtime = Runtime.instance()
    if getattr(runtime, _GUARDED, False):
        return
    is_live = runtime.is_active_session
    most_bytes = MOST_WAITING * largest_bytes

    def may_upload(session_id: str) -> bool:
        return (
            is_live(session_id)
            and _signed_in(runtime, session_id, user_key)
            and _held(runtime, session_id) < most_bytes
        )

    # The upload endpoint is the only one that asks this of the runtime.
    setattr(runtime, "is_active_session", may_upload)  # noqa: B010 (mypy: a method is replaced on purpose)
    setattr(runtime, _GUARDED, True)


def _signed_in(runtime: Runtime, session_id: str, user_key: str) -> bool:
    info = runtime._session_mgr.get_active_session_info(session_id)
    return info is not None and user_key in info.session.session_state


def _held(runtime: Runtime, session_id: str) -> int:
    """Bytes of the files that a session has sent and that are still in memory."""
    kept = runtime.uploaded_file_mgr
    files = kept.file_storage.get(session_id, {}) if isinstance(kept, MemoryUploadedFileManager) else {}
    return sum(len(file.data) for file in list(files.values()))
