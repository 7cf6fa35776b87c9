"""The audit: what attacks read of a model, what it is compared with, and the verdict. None of it imports torch."""
