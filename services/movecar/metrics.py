"""What operations can see of the operator's side."""

from prometheus_client import Counter

RECORDINGS_UNREADABLE = Counter(
    "movecar_recordings_unreadable_total", "Recordings that were asked for and could not be read", ["what"]
)
