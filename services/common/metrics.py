"""Prometheus metrics of the kernel; services add theirs beside their rules."""

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS = Counter("movecar_http_requests_total", "HTTP requests", ["method", "route", "status"])
HTTP_SECONDS = Histogram("movecar_http_request_seconds", "Time to answer an HTTP request", ["route"])
EVENTS_PUBLISHED = Counter("movecar_events_published_total", "Events given their place in the log")
EVENTS_HANDLED = Counter("movecar_events_handled_total", "Events handled", ["consumer"])
EVENTS_SET_ASIDE = Counter("movecar_dead_letters_total", "Events moved to the dead letters", ["consumer"])
TASK_RESTARTS = Counter("movecar_task_restarts_total", "Background tasks restarted after a crash", ["task"])
STREAM_READERS = Gauge("movecar_stream_readers", "Open live streams", ["stream"])
