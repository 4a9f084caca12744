"""The product's own cost of a password check, which the other tests of this process are spared."""

import importlib.util
from types import ModuleType

import pytest
from argon2 import Type, extract_parameters


@pytest.fixture
def real() -> ModuleType:
    """The module as the product imports it."""
    spec = importlib.util.find_spec("services.movecar.people.passwords")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_password_is_kept_as_argon2id_of_64_mib_and_three_passes(real: ModuleType) -> None:
    passwords = real.Passwords()
    stored = await passwords.hash("correct horse")
    cost = extract_parameters(stored)
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 65536, 3, 4)
    assert await passwords.fits("correct horse", stored)
    assert not await passwords.fits("correct horses", stored)
    assert not await passwords.fits("correct horse", None)
    assert not await passwords.fits("no account has this password", None)
