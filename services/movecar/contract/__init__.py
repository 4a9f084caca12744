"""The contract board: each clause with its live evidence (D6)."""
