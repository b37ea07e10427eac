"""How right the committed models are, beside peers on the same images; run with `python -m benchmarks.accuracy`."""
