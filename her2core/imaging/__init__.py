"""Bytes to verified pixels: formats, limits, scale, suitability measures."""
