"""The demo registry: loaded like any other, from a file beside this module.

苏D10000–苏D10009 are blue, and the last digit of the owner's number, which decides what a sandbox or test
owner does, is that of the plate. Beyond them: 苏D20061 (first number busy, second agrees), 苏D20077 (two
numbers that ring unanswered), 苏D20000 (no number), 苏D88888 (blue and yellow), and one plate of each
other kind that the registry holds.
"""

from pathlib import Path

DEMO_CSV = Path(__file__).with_name("demo.csv")
"""In the format of `MOVECAR_REGISTRY_CSV`."""
