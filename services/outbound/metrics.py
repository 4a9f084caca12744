"""What operations can see of the caller."""

from prometheus_client import Counter, Gauge

ATTEMPTS = Counter("movecar_attempts_total", "Attempts ended", ["outcome"])
CONTACTS = Counter("movecar_contacts_total", "Contacts concluded", ["outcome"])
CALLS_UP = Gauge("movecar_calls_up", "Calls of this instance that may be up")
PBX_UP = Gauge("movecar_pbx_up", "Whether calls can be placed: 1 when a node and a trunk can take one")
NODE_UP = Gauge("movecar_node_up", "Whether an Asterisk node can take calls", ["node"])
TRUNK_UP = Gauge("movecar_trunk_up", "Whether calls go over a trunk on a node", ["node", "trunk"])
TRUNK_FAILURES = Counter(
    "movecar_trunk_failures_total", "Calls that failed by their trunk", ["node", "trunk", "reason"]
)
MOVED = Counter(
    "movecar_calls_moved_total", "Calls that rang nobody and were offered to another trunk at once"
)
QUEUE_AGE = Gauge("movecar_queue_age_seconds", "How long the oldest due attempt has been waiting for a line")
FAULTS = Counter("movecar_attempt_faults_total", "What should not happen to an attempt and did", ["kind"])
CALL_RECORDS = Counter(
    "movecar_call_records_total", "Lines of the switches' call records that were read", ["result"]
)
RECORDINGS = Counter("movecar_recordings_total", "Answered calls whose recording's fate is known", ["state"])
RECORDINGS_WAITING = Gauge(
    "movecar_recordings_waiting", "Recordings of ended calls that are still in the spool"
)
RECONCILED = Counter(
    "movecar_calls_reconciled_total", "Ended attempts compared with the switches' call records"
)
