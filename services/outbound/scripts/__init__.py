"""What the owner is told and from which number: changed only under a filed written notice (B3)."""
