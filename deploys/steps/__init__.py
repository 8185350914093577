"""What the recipes share: asking the nodes, and the steps that follow."""
