"""The pool of reference models that membership attacks compare with: planned, trained and cached once."""
