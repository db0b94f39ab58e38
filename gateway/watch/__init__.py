"""Watching: one feed of changes a group, handed to many streams of server-sent events."""

from gateway.watch.hub import Hub, WatchLimits, WatchPace
from gateway.watch.routes import Watching

__all__ = ["Hub", "WatchLimits", "WatchPace", "Watching"]
