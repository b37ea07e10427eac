"""The same pool as actors of Ray Data: on this machine, or on every machine of a cluster.

Ray starts dead actors anew and gives their images to others by itself. What it does not know is that an image may be
the cause, so each actor tells a register what it begins; see MAX_ATTEMPTS. Only the collecting process writes results,
and takes each image once, so that an image that was analysed twice is still there once.
"""

from __future__ import annotations

import importlib
import os
import pickle
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from her2core.batch.work import MAX_ATTEMPTS, Item, Recipe, analyse_file, gave_up
from her2core.errors import ExchangeError, Her2CoreError, ModelError
from her2core.exchange.analysis import ImageResult

__all__ = ["through_ray"]

_ROOT = Path(__file__).resolve().parents[2]
_MOST_BLOCKS = 10_000
_IMAGES_A_BLOCK = 4
_OBJECT_STORE_BYTES = 200 << 20
_PATIENCE = {"raylet_start_wait_time_s": 120, "gcs_server_request_timeout_seconds": 120}  # of a machine that is busy
_NO_MODELS = "her2core could not load its models: "


def through_ray(
    items: Sequence[Item], recipe: Recipe, workers: int, address: str | None = None
) -> Iterator[tuple[Item, ImageResult]]:
    """Every item with its result as they come; an item may come twice where an actor died at the wrong moment.

    `address` is that of a cluster, where `workers` actors run and her2core, its models and the images lie under the
    same paths as here. Raises ModelError where the models cannot be loaded, ExchangeError where Ray fails.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the laboratory
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray: Any = importlib.import_module("ray")
    data: Any = importlib.import_module("ray.data")
    started = not ray.is_initialized()
    try:
        if started:
            _connect(ray, workers, address)
        yield from _stream(ray, data, items, recipe, workers)
    except Her2CoreError:
        raise
    except ray.exceptions.RayError as error:
        raise _in_words(error) from error
    except ConnectionError as error:
        raise ExchangeError(f"There is no Ray cluster at {address} that answers.") from error
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, workers: int, address: str | None) -> None:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    options: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": path}}, "log_to_driver": False}
    if address is None:
        options |= {
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,  # rows are paths and counts: Ray would take a third of all
            "_system_config": _PATIENCE,
        }
    else:
        options["address"] = address
    ray.init(logging_level="ERROR", **options)


def _stream(
    ray: Any, data: Any, items: Sequence[Item], recipe: Recipe, workers: int
) -> Iterator[tuple[Item, ImageResult]]:
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    name = f"her2core-{uuid.uuid4().hex}"
    register = ray.remote(_Register).options(name=name, num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    by_sha256 = {item.sha256: item for item in items}
    rows = [{"path": item.path, "name": item.name, "sha256": item.sha256} for item in items]
    blocks = min(max(1, len(rows) // _IMAGES_A_BLOCK), _MOST_BLOCKS)
    gpus = ray.cluster_resources().get("GPU", 0)
    analysed = data.from_items(rows, override_num_blocks=blocks).map(
        _Analyser,
        fn_constructor_args=(pickle.dumps(recipe), name),
        compute=data.ActorPoolStrategy(size=min(workers, blocks)),
        **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
    )
    for row in analysed.iter_rows():
        yield by_sha256[row["sha256"]], pickle.loads(row["result"])  # noqa: S301 (our own workers wrote it)
    del register  # a named actor lives as long as its handle


def _in_words(error: Exception) -> Her2CoreError:
    text = str(error)
    if _NO_MODELS in text:
        return ModelError(text.rsplit(_NO_MODELS, 1)[1].splitlines()[0])
    return ExchangeError(f"Ray stopped the batch ({type(error).__name__}). What is finished is kept: run it again.")


class _Register:
    """How often each image was begun without having been ended."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, sha256: str) -> int:
        """The number of this attempt, from 1."""
        self._begun[sha256] = self._begun.get(sha256, 0) + 1
        return self._begun[sha256]

    def end(self, sha256: str) -> None:
        """The image was analysed."""
        self._begun.pop(sha256, None)


class _Analyser:
    """One actor: loads the models once, then analyses image after image."""

    def __init__(self, recipe: bytes, register: str) -> None:
        self._ray: Any = importlib.import_module("ray")
        self._register: Any = self._ray.get_actor(register)
        self._recipe: Recipe = pickle.loads(recipe)  # noqa: S301 (the collecting process wrote it)
        try:
            self._analyse = self._recipe.open()
        except Her2CoreError as error:
            raise RuntimeError(f"{_NO_MODELS}{error}") from error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item = Item(row["path"], row["name"], row["sha256"])
        if self._ray.get(self._register.begin.remote(item.sha256)) > MAX_ATTEMPTS:
            result = gave_up(item)
        else:
            result = analyse_file(item, self._analyse, self._recipe.limits)
        self._register.end.remote(item.sha256)
        return {"sha256": item.sha256, "result": pickle.dumps(result)}
