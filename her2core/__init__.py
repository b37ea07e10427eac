"""her2core: the HER2 FISH workbench. Decision support for research use, not a cleared medical device."""

__version__ = "0.1.0"
