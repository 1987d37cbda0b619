"""
The interface classes of the standard, once for all models of meters.

Owns the registry: `CLASSES` by class_id. What a class does not know of itself, the model gives as
constants or sources; an object of a class that is not in it is plain data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hes_protocol.models.objects import ModelObject
from hes_simulators.classes.account import AccountClass
from hes_simulators.classes.activation import RegisterActivation
from hes_simulators.classes.association import AssociationLn, SapAssignment
from hes_simulators.classes.charge import ChargeClass
from hes_simulators.classes.clock import Clock
from hes_simulators.classes.credit import CreditClass
from hes_simulators.classes.disconnect import DisconnectControl
from hes_simulators.classes.image_transfer import ImageTransfer
from hes_simulators.classes.interface import Answer, InterfaceClass, LivingClass
from hes_simulators.classes.limiter import Limiter
from hes_simulators.classes.mbus import MbusClient
from hes_simulators.classes.plain import Plain
from hes_simulators.classes.profile import ProfileGeneric
from hes_simulators.classes.push_setup import PushSetup
from hes_simulators.classes.register_monitor import RegisterMonitor
from hes_simulators.classes.registers import DemandRegister, ExtendedRegister, Register
from hes_simulators.classes.scripts import ScriptTable, SingleActionSchedule
from hes_simulators.classes.security_setup import SecuritySetup
from hes_simulators.classes.special_days import SpecialDays
from hes_simulators.classes.tariffs import ActivityCalendar
from hes_simulators.classes.token_gateway import TokenGateway

__all__ = ["CLASSES", "Answer", "InterfaceClass", "LivingClass", "interface_class"]

_PLAIN: Final[InterfaceClass] = Plain()

CLASSES: Final[Mapping[int, InterfaceClass]] = {
    1: _PLAIN,
    3: Register(),
    4: ExtendedRegister(),
    5: DemandRegister(),
    6: RegisterActivation(),
    7: ProfileGeneric(),
    8: Clock(),
    9: ScriptTable(),
    11: SpecialDays(),
    15: AssociationLn(),
    17: SapAssignment(),
    18: ImageTransfer(),
    20: ActivityCalendar(),
    21: RegisterMonitor(),
    22: SingleActionSchedule(),
    40: PushSetup(),
    63: _PLAIN,
    64: SecuritySetup(),
    70: DisconnectControl(),
    71: Limiter(),
    72: MbusClient(),
    111: AccountClass(),
    112: CreditClass(),
    113: ChargeClass(),
    115: TokenGateway(),
}


def interface_class(one: ModelObject) -> InterfaceClass:
    """What an object does."""
    return CLASSES.get(one.class_id, _PLAIN)
