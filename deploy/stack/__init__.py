"""The real parts on one machine: PostgreSQL, Redis, Asterisk and SIPp owners, each in its own directory."""
