"""Pathologists without browsers: each speaks to the server as the review page does in a browser, timers included."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field

from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.attacks.visitor import Visitor

__all__ = ["Pathologist", "Share"]


@dataclass
class Share:
    """What one pathologist does: signs in, opens the case that was worked on last, and edits one nucleus after the
    other. `clicks_s`: from sending an edit to the new tally; `edits`: those that were acknowledged, per phase."""

    name: str
    password: str
    case_id: int
    region_id: int
    clicks_s: dict[str, list[float]] = field(default_factory=dict)
    problem: str | None = None

    @property
    def acknowledged(self) -> int:
        """Edits whose tally came."""
        return sum(len(times) for times in self.clicks_s.values())


class Pathologist(threading.Thread):
    """Works until `stop` is set; `phase` says under which name a click is counted, and None to wait."""

    def __init__(
        self, port: int, share: Share, pause_s: tuple[float, float], phase: list[str | None], seed: int
    ) -> None:
        super().__init__(daemon=True, name=share.name)
        self.share, self.ready, self.stop = share, threading.Event(), threading.Event()
        self._port, self._pause_s, self._phase = port, pause_s, phase
        self._chance = random.Random(seed)  # noqa: S311 (pauses)
        self._timers: dict[str, tuple[float, float]] = {}
        self._number = 0

    def run(self) -> None:
        try:
            with Visitor.arriving(self._port) as visitor:
                editor, fragment = self._open(visitor)
                self.ready.set()
                while not self.stop.is_set():
                    self._think(visitor)
                    phase = self._phase[0]
                    if phase is not None and not self.stop.is_set():
                        self.share.clicks_s.setdefault(phase, []).append(self._edit(visitor, editor, fragment))
        except Exception as error:
            self.share.problem = f"{type(error).__name__}: {error}"
        finally:
            self.ready.set()

    def _open(self, visitor: Visitor) -> tuple[str, str]:
        """Sign in and open the case; the editor's id and the id of the fragment that it is in."""
        visitor.sign_in(self.share.name, self.share.password)
        visitor.run()
        button = next(
            m.delta.new_element.button.id
            for m in visitor.messages
            if m.delta.new_element.WhichOneof("type") == "button"
            and m.delta.new_element.button.id.endswith(f"-last_{self.share.case_id}")
        )
        visitor.run(widgets=[WidgetState(id=button, trigger_value=True)])
        editor = next(
            m.delta
            for m in visitor.messages
            if m.delta.new_element.WhichOneof("type") == "bidi_component"
            and m.delta.new_element.bidi_component.component_name == "her2core_editor"
        )
        self._page = next(m.new_session.page_script_hash for m in visitor.messages if m.HasField("new_session"))
        for message in visitor.messages:
            if message.WhichOneof("type") == "auto_rerun":
                timer = message.auto_rerun
                self._timers[timer.fragment_id] = (timer.interval, time.monotonic() + timer.interval)
        return editor.new_element.bidi_component.id, editor.fragment_id

    def _think(self, visitor: Visitor) -> None:
        """Wait as somebody who looks at a nucleus; meanwhile the page's timers go on."""
        until = time.monotonic() + self._chance.uniform(*self._pause_s)
        while (now := time.monotonic()) < until and not self.stop.is_set():
            for fragment, (interval, due) in list(self._timers.items()):
                if now >= due:
                    visitor.run(fragment=fragment, script_hash=self._page)
                    self._timers[fragment] = (interval, time.monotonic() + interval)
            time.sleep(0.05)

    def _edit(self, visitor: Visitor, editor: str, fragment: str) -> float:
        """One nucleus gets other counts; seconds until the tally that says so is there. Raises RuntimeError without."""
        self._number += 1
        nucleus, her2 = 1 + (self._number - 1) % 20, 2 + self._number // 20 % 5
        edit = {
            "act": "set counts", "region": self.share.region_id, "nucleus": nucleus, "seen": 0,
            "number": self._number, "her2": her2, "cep17": 3,
        }  # fmt: skip
        message = {"window": f"load-{self.share.name}", "region": self.share.region_id, "edits": [edit]}
        value = json.dumps([{"event": "message", "value": message}])
        started = time.perf_counter()
        visitor.run(
            fragment=fragment, script_hash=self._page,
            widgets=[
                WidgetState(id=editor, json_value="{}"),
                WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{editor}__events", json_trigger_value=value),
            ],
        )  # fmt: skip
        took = time.perf_counter() - started
        for answer in visitor.messages:
            element = answer.delta.new_element
            if (
                element.WhichOneof("type") == "bidi_component"
                and element.bidi_component.component_name == "her2core_editor"
            ):
                state = json.loads(json.loads(element.bidi_component.json)["state"])
                if state["acknowledged"]["upto"] == self._number and not state["refused"]:
                    return took
                raise RuntimeError(f"not acknowledged: {state['acknowledged']}, {state['refused']}")
        raise RuntimeError("no tally came")
