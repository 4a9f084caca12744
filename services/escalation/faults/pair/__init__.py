"""Two machines that tell the same desk: what each knows of the other, and who tells (C4)."""
