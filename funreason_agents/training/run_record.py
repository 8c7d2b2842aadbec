"""What a training run leaves behind beside its weights: run.json, curves.json, curves.png."""

from __future__ import annotations

import io
import json
import math
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from funreason_agents import __version__
from funreason_agents.errors import ExportError, TrainingError, boundary
from funreason_agents.export.writer import write_text
from funreason_agents.schemas.base import content_hash

RUN, CURVES, PLOT = "run.json", "curves.json", "curves.png"
Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Points (optimizer step, value) by name."""
_PACKAGES = ("torch", "transformers", "trl", "accelerate", "peft", "datasets", "vllm")
_COLUMNS = 3


def write_run_record(
    folder: str | Path,
    config: BaseModel,
    data_hash: str,
    metrics: Mapping[str, Any],
    curves: Curves,
    *,
    status: str = "done",
) -> None:
    """Write the record of a run into `folder`, each file atomically; run.json last.

    Args:
        folder: Where to.
        config: Resolved settings; `seed` among them.
        data_hash: Of the rows, as `hash_rows` gives it.
        metrics: Counts and measurements, JSON values; what is not finite becomes null.
        curves: By name.
        status: `running` or `done`.

    Raises:
        ExportError: the folder cannot be written.
    """
    target = Path(folder)
    if curves:
        points = {name: [[step, _finite(value)] for step, value in curves[name]] for name in curves}
        write_text(target / CURVES, json.dumps(points, indent=1) + "\n")
        _write_bytes(target / PLOT, draw_curves(curves))
    record = {
        "status": status,
        "run": identify_run(config, data_hash),
        "output_dir": str(target),
        "versions": find_versions(),
        "metrics": _finite(dict(metrics)),
    }
    write_text(target / RUN, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def identify_run(config: BaseModel, data_hash: str) -> dict[str, Any]:
    """Return what must be the same for a run to go on: settings and data, not where it lies."""
    settings = config.model_dump(mode="json", exclude={"output_dir"})
    return {"config": settings, "seed": settings.get("seed"), "data_hash": data_hash}


def read_run_record(folder: str | Path) -> dict[str, Any] | None:
    """Return run.json, or None if there is none.

    Raises:
        TrainingError: it is there but cannot be read.
    """
    file = Path(folder) / RUN
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        msg = f"cannot read {str(file)!r}: {exc}. Choose another output directory"
        raise TrainingError(msg) from exc
    if not isinstance(loaded, dict) or not isinstance(loaded.get("run"), dict):
        msg = f"{str(file)!r} is no record of a training run. Choose another output directory"
        raise TrainingError(msg)
    return loaded


def read_curves(folder: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Return the curves of a run that is done.

    Raises:
        TrainingError: they cannot be read.
    """
    file = Path(folder) / CURVES
    with boundary(TrainingError, f"read {str(file)!r}"):
        loaded = json.loads(file.read_text(encoding="utf-8"))
    return {name: [(step, value) for step, value in points] for name, points in loaded.items()}


def require_same_run(
    record: Mapping[str, Any], config: BaseModel, data_hash: str, folder: str | Path
) -> None:
    """Check that a recorded run is the one that is asked for.

    Raises:
        TrainingError: settings or data differ; the message names them.
    """
    here, there = identify_run(config, data_hash), dict(record["run"])
    pairs = {**_flatten(there, 0), **_flatten(here, 0)}
    ours, theirs = _flatten(here, 0), _flatten(there, 0)
    differing = [key for key in pairs if ours.get(key) != theirs.get(key)]
    if differing:
        shown = "; ".join(
            f"{key}: {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in differing
        )
        msg = (
            f"{str(folder)!r} holds another run ({shown}). Choose another output directory, or "
            "repeat the run with its settings and data to go on with it"
        )
        raise TrainingError(msg)


def _flatten(run: Mapping[str, Any], depth: int) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in run.items():
        flat |= _flatten(value, 1) if isinstance(value, dict) and not depth else {key: value}
    return flat


def hash_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a hash of rows in their order."""
    return content_hash([content_hash(row, 64) for row in rows])


def find_versions() -> dict[str, str]:
    """Return the versions of this package, Python, and the training libraries installed."""
    versions = {"funreason_agents": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def forget_peak_memory() -> None:
    """Measure anew from here on; what a process without a GPU has used cannot be forgotten."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def measure_peak_memory() -> int:
    """Return the most bytes used so far: of the GPU where there is CUDA, else of this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def to_curves(
    log_history: Iterable[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, list[tuple[int, float]]]:
    """Return curves from a trainer's log; names without a point are left out."""
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for entry in log_history:
        for name in names:
            if name in entry and "step" in entry:
                curves[name].append((int(entry["step"]), float(entry[name])))
    return {name: points for name, points in curves.items() if points}


def draw_curves(curves: Curves) -> bytes:
    """Return a PNG with a small plot for each curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = min(len(curves), _COLUMNS)
    lines = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (name, points) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(lines, columns, number)
        axes.plot([step for step, _ in points], [value for _, value in points], linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("optimizer step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    # Without the version of matplotlib in it, equal curves give equal files.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _write_bytes(path: Path, content: bytes) -> None:
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as exc:
        msg = f"cannot write {str(path)!r}: {exc.strerror or exc}"
        raise ExportError(msg) from exc


def _finite(value: Any) -> Any:
    """Return a JSON value in which what is not finite is None."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
