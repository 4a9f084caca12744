"""The vehicle registry: whose car is it, and how is the owner reached (A2, A3)."""

from services.movecar.registry.answers import (
    Ambiguous,
    Answer,
    Found,
    NotFound,
    Outage,
    Unavailable,
    Vehicle,
    VehicleRegistry,
)

__all__ = [
    "Ambiguous",
    "Answer",
    "Found",
    "NotFound",
    "Outage",
    "Unavailable",
    "Vehicle",
    "VehicleRegistry",
]
