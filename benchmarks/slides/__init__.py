"""Whole slides: time and peak memory of the search for fields, by size of the slide."""
