"""Recordings: from the PBX's spool into the sealed store, each accounted for (B8)."""
