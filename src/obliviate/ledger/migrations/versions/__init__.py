"""One file a version, which follows the one that it names."""
