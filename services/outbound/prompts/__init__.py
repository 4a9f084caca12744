"""What an owner hears, as text and as audio files on the telephone system (B2, B3)."""

from services.outbound.prompts.texts import GREETING, SEGMENTS, shared_texts

__all__ = ["GREETING", "SEGMENTS", "shared_texts"]
