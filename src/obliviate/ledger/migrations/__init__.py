"""How the tables of a ledger came to be, version by version; `obliviate init` brings a ledger to the newest."""
