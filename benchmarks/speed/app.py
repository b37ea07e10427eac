"""How long the application takes to start: until it answers, shows its first page, and has analysed a first region."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from her2core import workflow
from her2core.imaging import DEFAULT_LIMITS
from her2core.job_store import JobStore
from tests.attacks.visitor import Visitor
from tests.pages.lab import CA_PASSPHRASE, FLAGS, TestLaboratory
from tests.served import free_port, wait_until_up

__all__ = ["start_of_application"]

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 300.0


def start_of_application(region: Path, weights: Path, rounds: int) -> dict[str, float]:
    """Medians of seconds from the start of the server's process, with `region` waiting in the queue from before.

    Raises RuntimeError where the application does not come up or the region is not analysed.
    """
    found = [_one(region, weights) for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def _one(region: Path, weights: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        lab = TestLaboratory.make(Path(folder) / "data")
        case, by = lab.open_case("S26-001"), lab.person("berg")
        added, _ = workflow.add_region(lab.log, case.id, region.read_bytes(), region.name, by, DEFAULT_LIMITS)
        workflow.set_flags(lab.log, added.id, FLAGS, by)
        store = JobStore(lab.data_dir)
        store.submit(case.id, [added.id], {added.id: 0}, by.id)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HER2CORE_")}
        environment |= {
            "HER2CORE_DATA": str(lab.data_dir), "HER2CORE_CA_PASSPHRASE": CA_PASSPHRASE,
            "HER2CORE_WEIGHTS_DIR": str(weights.absolute()),
        }  # fmt: skip
        port = free_port()
        command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
        begun = time.monotonic()
        with (Path(folder) / "server.log").open("wb") as log:
            server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)  # noqa: S603
            try:
                wait_until_up(server, port)
                answers = time.monotonic() - begun
                with Visitor.arriving(port) as visitor:
                    if "Password" not in visitor.run():
                        raise RuntimeError("the first page does not ask for a password")
                    page = time.monotonic() - begun
                    while sum(store.counts().values()):
                        if time.monotonic() - begun > _PATIENCE_S:
                            raise RuntimeError("the region that waited was not analysed")
                        time.sleep(0.05)
                    analysed = time.monotonic() - begun
            finally:
                server.terminate()
                server.wait(60)
        if len(lab.log.analyses(added.id)) != 1:
            raise RuntimeError("the region that waited has no analysis")
        return {"server answers": answers, "first page": page, "first region analysed": analysed}
