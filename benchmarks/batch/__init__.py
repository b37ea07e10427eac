"""Archives: regions an hour for 1 and 2 workers, by engine, with the committed models."""
