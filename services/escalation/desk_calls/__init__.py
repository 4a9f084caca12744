"""Calling the desk's line: what is said, the call itself, and the keypress that acknowledges (C3)."""
