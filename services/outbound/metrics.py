"""What operations can see of the caller."""

from prometheus_client import Counter, Gauge

ATTEMPTS = Counter("movecar_attempts_total", "Attempts ended", ["outcome"])
CONTACTS = Counter("movecar_contacts_total", "Contacts concluded", ["outcome"])
CALLS_UP = Gauge("movecar_calls_up", "Calls of this instance that may be up")
PBX_UP = Gauge("movecar_pbx_up", "Whether calls can be placed: 1 when the link to the PBX is up and in step")
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
