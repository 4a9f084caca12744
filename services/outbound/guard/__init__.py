"""The guard: what stands between a queued attempt and a ringing phone (B4)."""
