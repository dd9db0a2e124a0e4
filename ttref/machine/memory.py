"""See `ttref.machine.process`."""

from ttref.machine.process import keep_freed_memory

__all__ = ["keep_freed_memory"]
