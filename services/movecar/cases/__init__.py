"""Cases: from the operator's entry to the closed file."""
