"""The garbage collector's rounds kept short: what was imported is no garbage and is not looked through again.

Streamlit collects after every run of a page or fragment, so after every edit, and holds the interpreter while it does:
0.1 s for the modules of the pages alone, more with those of the models, in which nothing reaches the browser.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["spare_imports"]

_seen = 0


def spare_imports() -> bool:
    """Set aside all that lives now where modules came since the last time; returns whether it did."""
    global _seen
    modules = len(sys.modules)
    if modules == _seen:
        return False
    _seen = modules
    gc.collect()  # what is garbage already is not to be kept
    gc.freeze()
    return True
