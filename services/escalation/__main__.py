"""The escalation service as a process of its own: settings, build, run."""

from services.common.run import read_settings, run_services
from services.escalation.app import build

if __name__ == "__main__":
    settings = read_settings()
    run_services("escalation", [build], settings, settings.escalation_listen, independent=True)
