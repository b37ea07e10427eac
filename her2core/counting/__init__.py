"""Stage 2: signals of each nucleus, by regression and by density."""
