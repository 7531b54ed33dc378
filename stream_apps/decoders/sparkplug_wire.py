"""The protobuf messages of Sparkplug B, as far as Weir reads them, built from the published field numbers.

https://github.com/eclipse/tahu/blob/master/sparkplug_b/sparkplug_b.proto Templates, data sets and metadata are left
out: protobuf skips fields it does not know, which also keeps nested ones from costing anything.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from weir.errors import Reason, Refused

BOOLEAN = 11
#: The name of the `oneof` of all fields that hold a value.
VALUE = "value"
REBIRTH = "Node Control/Rebirth"
_PACKAGE = "weir.sparkplug"
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
}
#: message: field: (number, type, repeated); a type that is no scalar is a message of this table.
_SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    "PropertyValue": {
        "type": (1, "uint32", False),
        "int_value": (3, "uint32", False),
        "long_value": (4, "uint64", False),
        "float_value": (5, "float", False),
        "double_value": (6, "double", False),
        "string_value": (8, "string", False),
    },
    "PropertySet": {"keys": (1, "string", True), "values": (2, "PropertyValue", True)},
    "Metric": {
        "name": (1, "string", False),
        "alias": (2, "uint64", False),
        "timestamp": (3, "uint64", False),
        "datatype": (4, "uint32", False),
        "is_historical": (5, "bool", False),
        "is_transient": (6, "bool", False),
        "is_null": (7, "bool", False),
        "properties": (9, "PropertySet", False),
        "int_value": (10, "uint32", False),
        "long_value": (11, "uint64", False),
        "float_value": (12, "float", False),
        "double_value": (13, "double", False),
        "boolean_value": (14, "bool", False),
        "string_value": (15, "string", False),
    },
    "Payload": {
        "timestamp": (1, "uint64", False),
        "metrics": (2, "Metric", True),
        "seq": (3, "uint64", False),
    },
}


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="weir/sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        if any(field.endswith("_value") for field in fields):
            message.oneof_decl.add(name=VALUE)
        for field, (number, kind, repeated) in fields.items():
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if field.endswith("_value"):
                added.oneof_index = 0
            if kind in _TYPES:
                added.type = _TYPES[kind]
            else:
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind}"
    # A pool of its own: another library in this process may have loaded Sparkplug's file under its own name.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


Payload = _build()


def parse_payload(data: bytes) -> Any:
    """A `Payload` message. Raises `Refused` (SHAPE) where the bytes are not one."""
    try:
        return Payload.FromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise Refused(Reason.SHAPE, f"not a Sparkplug payload: {error}") from error


def rebirth_command(rx: int) -> bytes:
    """The payload of an NCMD that asks an edge node to send its births again."""
    command = Payload(timestamp=max(rx, 0))
    command.metrics.add(name=REBIRTH, timestamp=max(rx, 0), datatype=BOOLEAN, boolean_value=True)
    return bytes(command.SerializeToString())
