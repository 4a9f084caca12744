"""Asterisk as this service uses it: configuration rendered from settings, and the spoken prompts."""
