"""Numbers to meaning: tally, groups, work-up, confidence. Pure functions."""
