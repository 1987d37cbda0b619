"""
Meter models: what collectors and simulators both know of a family of meters, as data.

Owns the parsing of `config/models/*.toml`, whose text is passed in; reads no file itself. The
layout of a file is told in `docs/how-to/add-a-meter-model.md`. Modules: `objects` the values,
`names` what they speak of, `parsing` the files, `layouts` how to read pushes, `classes` what the
standard says of a class.
"""

from hes_protocol.models.dial_in import DialIn, FirstSpeaker, Heartbeat
from hes_protocol.models.layouts import PushLayout, PushShape, push_layouts
from hes_protocol.models.model import Model
from hes_protocol.models.names import EVENTS, METER_SOURCES
from hes_protocol.models.objects import (
    CaptureOn,
    LockOut,
    MeterChannel,
    MeterTable,
    ModelAlarm,
    ModelAttribute,
    ModelClient,
    ModelEventLog,
    ModelEvents,
    ModelObject,
    ModelProfile,
    ModelPush,
    PushForm,
    Sort,
    Statistic,
    Transport,
)
from hes_protocol.models.parsing import parse_model, parse_model_files, parse_models
from hes_protocol.models.recognition import Candidate, certain, recognise

__all__ = [
    "EVENTS",
    "METER_SOURCES",
    "Candidate",
    "CaptureOn",
    "DialIn",
    "FirstSpeaker",
    "Heartbeat",
    "LockOut",
    "MeterChannel",
    "MeterTable",
    "Model",
    "ModelAlarm",
    "ModelAttribute",
    "ModelClient",
    "ModelEventLog",
    "ModelEvents",
    "ModelObject",
    "ModelProfile",
    "ModelPush",
    "PushForm",
    "PushLayout",
    "PushShape",
    "Sort",
    "Statistic",
    "Transport",
    "certain",
    "parse_model",
    "parse_model_files",
    "parse_models",
    "push_layouts",
    "recognise",
]
