"""The catalogue of recordings: search, playback, verification (B8)."""
