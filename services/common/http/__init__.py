"""The HTTP side every service shares: declared endpoints, one error format, log-in, live streams."""
