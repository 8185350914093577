"""What changes a node: validate, observe, diff, yield."""
