"""A server of the pages in a process of its own: a port for it, and the moment it answers."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request

START_S = 180


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once the server answers. Raises RuntimeError where it ends, or does not come up in time."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError("the server ended at once; see its server.log")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError("the server did not come up in time")
