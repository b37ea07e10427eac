"""Many users at once: what a click costs while pathologists review and regions wait for analysis."""
