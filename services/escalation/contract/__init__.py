"""What the 110 side can prove of the contract's clauses: one module for each (D6)."""
