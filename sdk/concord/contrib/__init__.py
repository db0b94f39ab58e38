"""Concord where people already are: stores, caches and sessions of web frameworks. docs/integrations.md shows each.

Every module needs its framework, which whoever imports it has; nothing of `concord` imports any of them.
"""
