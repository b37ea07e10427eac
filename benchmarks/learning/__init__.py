"""The learning loop on rendered data: thirty corrected cases of a laboratory whose images look otherwise."""
