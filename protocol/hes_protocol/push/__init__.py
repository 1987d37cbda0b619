"""
What a push says: values by object, recognised by the structure of the payload.

There is no one push layout. Utilities send, and this package tells apart by shape alone:

- *described* (`described`): a list of (class_id, logical_name, attribute_index, data_index), then
  the values in that order, once or row by row;
- *named* (`rows`): a logical name or a description with its value, perhaps scaler_unit and time,
  in structures of their own or laid flat in a row;
- *bare*: values without any name. They stay unnamed unless a `PushLayout` of a meter model, passed
  in as data, knows them.

All of these may be mixed and nested. No value is dropped: what has no name is a `PushValue` with
`obis` None. Linear in the payload, without recursion.
"""

from hes_protocol.push.identities import names_meter
from hes_protocol.push.reading import Push, read_event, read_push
from hes_protocol.push.values import PushValue, instant, plain_text

__all__ = ["Push", "PushValue", "instant", "names_meter", "plain_text", "read_event", "read_push"]
