"""The laboratory as a whole: what its cases say together, whether it is steady, whether the models may be trusted here.

Numbers are pure functions; `ledger` keeps a line a case beside the case log, so that they are there at once.
"""
