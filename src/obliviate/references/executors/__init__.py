"""Who makes models elsewhere: what is asked of an executor, those that have a name, and a user's own."""
