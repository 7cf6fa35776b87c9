"""What in a folder still carries samples that were forgotten: an inventory, and a purge."""

from obliviate.traces.inventory import Trace, inventory
from obliviate.traces.purge import Purge, purge, purgeable

__all__ = ["Purge", "Trace", "inventory", "purge", "purgeable"]
