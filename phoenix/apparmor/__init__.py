"""AppArmor: labels, the text of profiles, and the lines of its log."""
