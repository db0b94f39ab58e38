"""The clients of `concord` under chaos: many of both kinds, everything they were told, and whether it can be true.

`python -m tests.chaos.sdk` runs it; `__main__.py` says what is done and what must hold.
"""
