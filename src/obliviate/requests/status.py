"""What stands in a folder, read without torch: requests, the models made for each, results, and who works there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from obliviate._util.locks import Holder
from obliviate.errors import WorkspaceError
from obliviate.requests.request import RequestFolder
from obliviate.requests.store import KeptModel, Requests


def status(folder: Path) -> dict[str, Any]:
    """Describe a folder in JSON values; nothing is changed, and nobody kept from working there.

    "requests" have their number, rule, number of samples, the id of the model that they begin from, of a list "asked"
    (how many of its names came to what), "models" (id, label, role, seconds, hash of the weights), ids of models whose
    making was "interrupted", and paths of results, report and inspection, None where there are none. "events" are those
    of the log. "original" and "holder" are sentences, None where there is no model, or nobody works there. Raises
    WorkspaceError for a folder that is not there or damaged.
    """
    if not folder.is_dir():
        raise WorkspaceError(f"expected a folder, got no {folder}; name one that `obliviate train` made")
    requests = Requests(folder)
    models = requests.models()
    holder = Holder.of(folder)
    return {
        "folder": str(folder),
        "holder": None if holder is None or holder.alive is False else str(holder),
        "original": next((_sentence(model) for model in models if model.slot.request is None), None),
        "requests": [
            {
                "number": request.number,
                "rule": request.rule,
                "forget": len(request.ids),
                "after": None if request.after is None else request.after.id,
                **({"asked": request.outcomes} if request.asked else {}),
                "models": [_described(model) for model in models if model.slot.request == request.number],
                **_artefacts(requests.at(request.number)),
            }
            for request in requests.all
        ],
        "events": [{"time": event.time, "event": event.kind, **event.facts} for event in requests.log.events],
    }


def _sentence(model: KeptModel) -> str:
    manifest = model.manifest
    return f"{model.id}: trained on {len(manifest.ids):,} samples in {manifest.seconds:.1f} s"


def _described(model: KeptModel) -> dict[str, Any]:
    manifest = model.manifest
    facts = {"role": manifest.role, "method": manifest.method, "seed": manifest.seed, "seconds": manifest.seconds}
    return {"id": model.id, "label": model.label, **facts, "weights_sha256": manifest.weights_sha256}


def _artefacts(place: RequestFolder) -> dict[str, Any]:
    paths = {"results": place.results, "report": place.report, "inspection": place.inspection}
    finished = {path.stem for path in place.models.glob("*.json")}
    return {
        "interrupted": sorted(path.name for path in place.work.glob("*") if path.name not in finished),
        **{name: str(path) if path.exists() else None for name, path in paths.items()},
    }
