"""Prometheus metrics of faults and notices."""

from prometheus_client import Counter, Gauge, Histogram

FAULTS_FOUND = Counter("movecar_faults_total", "Faults opened", ["component", "source"])
FAULTS_OPEN = Gauge("movecar_faults_open", "1 while a fault of this part is open", ["component"])
NOTICE_SECONDS = Histogram(
    "movecar_notice_seconds",
    "From the fault, or the recovery, to the first proof that its notice was delivered",
    ["kind", "audience"],
    buckets=(5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600),
)
NOTICE_TRIES = Counter("movecar_notice_tries_total", "Tries to deliver a notice", ["channel", "result"])
DUTIES_LATE = Counter("movecar_notices_late_total", "Notices to the desk without proof after 30 minutes")
DUTIES_OWED = Gauge("movecar_notices_owed", "Notices to the desk that are not delivered yet")
CERTIFICATE_SECONDS = Gauge(
    "movecar_certificate_seconds", "Until the certificate at a place expires; negative: it has", ["place"]
)
JOURNAL_UNSAVED = Gauge("movecar_fault_journal_unsaved", "Records the fault journal could not take yet")
PEER_UP = Gauge(
    "movecar_peer_up", "1 while the other machine of the pair is heard; absent where there is none"
)
PEER_FOLLOWED = Gauge("movecar_peer_followed", "1 while notices are left to the other machine, which is well")
PEER_MESSAGES = Counter(
    "movecar_peer_messages_total", "Messages of the other machine, by what came of them", ["result"]
)
NOTICES_TWICE = Counter("movecar_notices_twice_total", "Notices that both machines gave", ["channel"])
