"""Faults, and the notices the desk is owed for each: a journal of their own that needs nothing else (C4)."""
