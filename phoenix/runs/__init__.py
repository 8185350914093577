"""What runs left on a node: their journals and the files that they kept."""
