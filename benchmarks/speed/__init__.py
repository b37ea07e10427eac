"""How long a region takes and how much memory, beside peers and the machine's own limit."""
