"""Proof both ways (B4): the switch's own call records, compared with what the caller says it did."""
