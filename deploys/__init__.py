"""The recipes: host_prep, harden, rollback, audit."""
