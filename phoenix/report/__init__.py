"""What people and machines are told of plans, runs and audits."""
