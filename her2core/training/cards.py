"""What a model card says before a person has completed it."""

__all__ = ["NOT_YET_EVALUATED", "REGENERATE"]

REGENERATE = (
    "Train with the recipe above on the data whose truth.json has the SHA-256 above; the seed makes it repeatable."
)
NOT_YET_EVALUATED = "Not examined yet: run `evaluate` on images that training never saw, and say here where it fails."
