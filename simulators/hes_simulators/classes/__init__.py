"""
The interface classes of the standard, once for all models of meters.

Owns the registry: `CLASSES` by class_id. A class that is not in it has only attributes that a model
gives as constants or sources, no write but of those that the model lets write, no method.
"""

from __future__ import annotations

from collections.abc import Mapping

from hes_simulators.classes.interface import Answer, InterfaceClass, LivingClass

__all__ = ["CLASSES", "Answer", "InterfaceClass", "LivingClass"]

CLASSES: Mapping[int, InterfaceClass] = {}
