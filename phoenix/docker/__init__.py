"""A guest's Docker: what it says of itself, and its daemon.json."""
