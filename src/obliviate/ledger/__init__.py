"""The queue and the history of requests in one database: what was asked, by whom it is worked on, what came of it.

It holds no name of a person or a sample, only pseudonyms by a key that is kept elsewhere; and no torch is imported.
"""

from obliviate.ledger.ledger import Ledger
from obliviate.ledger.pseudonyms import Pseudonyms
from obliviate.ledger.records import Lease, Outcome, Promotion, Receipt, Submission

__all__ = ["Lease", "Ledger", "Outcome", "Promotion", "Pseudonyms", "Receipt", "Submission"]
