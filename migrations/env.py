"""Alembic's entry point; the connection is given by `services.common.migrations`."""

from alembic import context

from services.common import models as common_models
from services.common.database import Base
from services.escalation import models as escalation_models
from services.escalation.faults import models as fault_models
from services.movecar import audit
from services.movecar.cases import models as case_models
from services.movecar.people import models as people_models
from services.movecar.recordings import models as recording_models
from services.movecar.registry import models as registry_models
from services.outbound import models as outbound_models
from services.outbound.evidence import models as evidence_models
from services.outbound.recordings import models as outbound_recording_models
from services.outbound.scripts import models as script_models

# Importing a module of tables is what puts them into the metadata.
TABLES = (
    common_models,
    case_models,
    people_models,
    registry_models,
    outbound_models,
    evidence_models,
    outbound_recording_models,
    recording_models,
    audit,
    script_models,
    escalation_models,
    fault_models,
)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
