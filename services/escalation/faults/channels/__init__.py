"""Ways to reach the desk and the supervisor."""
