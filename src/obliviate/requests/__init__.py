"""The life of a request to forget: what was asked, what was refused, what was made of it; without torch.

Every request has a folder, with the models that were made for it and what was found of them. A log, which is only ever
appended to, says what happened when. One process at a time works there.
"""

from obliviate.requests.log import Event, EventLog
from obliviate.requests.manifest import Manifest, read_manifest
from obliviate.requests.request import Parent, Request, RequestFolder
from obliviate.requests.store import KeptModel, Requests, Slot

__all__ = [
    "Event",
    "EventLog",
    "KeptModel",
    "Manifest",
    "Parent",
    "Request",
    "RequestFolder",
    "Requests",
    "Slot",
    "read_manifest",
]
