"""The outbound service as a process of its own: settings, build, run."""

from services.common.run import read_settings, run_services
from services.outbound.app import build

if __name__ == "__main__":
    settings = read_settings()
    run_services("outbound", [build], settings, settings.outbound_listen)
