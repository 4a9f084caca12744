"""What happens to an escalation that nobody acknowledges, or that nobody deals with (C3)."""
