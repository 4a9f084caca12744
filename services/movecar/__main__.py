"""The operator's side as a process of its own: settings, build, run.

The desk's paths are forwarded to the escalation service, and readiness asks both neighbours.
"""

from services.common.run import read_settings, run_services
from services.movecar.app import build_with_neighbours

if __name__ == "__main__":
    settings = read_settings()
    run_services("movecar", [build_with_neighbours], settings, settings.listen)
