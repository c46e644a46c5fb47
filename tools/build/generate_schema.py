"""Turns inferkit/network/caffe/caffe.proto into inferkit/network/caffe/generated/: the descriptor and its types.

Run `python -m tools.build.generate_schema` after a change of caffe.proto (needs `grpcio-tools`). Code as protoc writes
it is tied to the protobuf release that wrote it; a serialized descriptor is read by all of them.
"""

from __future__ import annotations

import base64
import tempfile
import textwrap
import zlib
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from tools import ROOT

CAFFE = ROOT / "inferkit" / "network" / "caffe"
WRITTEN_BY = "Written by tools/build/generate_schema.py from caffe.proto; do not edit."

_SCALARS = {
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_UINT32: "int",
    FieldDescriptorProto.TYPE_ENUM: "int",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "str",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
}

_PREAMBLE = f'''"""Types of the messages of caffe.proto. {WRITTEN_BY}"""

from collections.abc import Iterable, MutableSequence, Sequence
from typing import Any, Self, TypeVar, overload

_M = TypeVar("_M", bound="Message")

class Message:
    DESCRIPTOR: Any
    Extensions: Any
    @classmethod
    def FromString(cls, data: bytes) -> Self: ...
    def ParseFromString(self, data: bytes) -> int: ...
    def MergeFromString(self, data: bytes) -> int: ...
    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...
    def CopyFrom(self, other: Self) -> None: ...
    def MergeFrom(self, other: Self) -> None: ...
    def HasField(self, name: str) -> bool: ...
    def HasExtension(self, extension: Any) -> bool: ...
    def ClearExtension(self, extension: Any) -> None: ...
    def Clear(self) -> None: ...
    def ClearField(self, name: str) -> None: ...
    def ListFields(self) -> list[tuple[Any, Any]]: ...
    def ByteSize(self) -> int: ...

class Repeated(Sequence[_M]):
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> _M: ...
    @overload
    def __getitem__(self, index: slice) -> list[_M]: ...
    def __delitem__(self, index: int | slice) -> None: ...
    def add(self, **fields: Any) -> _M: ...
    def append(self, message: _M) -> None: ...
    def extend(self, messages: Iterable[_M]) -> None: ...
    def CopyFrom(self, other: Repeated[_M]) -> None: ...

class EnumType:
    @classmethod
    def Name(cls, number: int) -> str: ...
    @classmethod
    def Value(cls, name: str) -> int: ...

'''


def main() -> None:
    """Write both files of generated/."""
    serialized = compile_proto(CAFFE / "caffe.proto")
    (CAFFE / "generated" / "descriptor.py").write_text(descriptor_module(serialized), encoding="utf-8")
    types = types_module(FileDescriptorProto.FromString(serialized))
    (CAFFE / "generated" / "messages.pyi").write_text(types, encoding="utf-8")


def compile_proto(path: Path) -> bytes:
    """The serialized FileDescriptorProto of one .proto file."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "descriptor_set"
        arguments = ["protoc", f"--proto_path={path.parent}", f"--descriptor_set_out={target}", path.name]
        if protoc.main(arguments) != 0:
            raise SystemExit(f"protoc refused {path}")
        return FileDescriptorSet.FromString(target.read_bytes()).file[0].SerializeToString(deterministic=True)


def descriptor_module(serialized: bytes) -> str:
    """Source of a module that holds the descriptor, compressed, as text."""
    text = base64.b85encode(zlib.compress(serialized, 9)).decode()
    lines = "\n".join(f'    b"{line}"' for line in textwrap.wrap(text, 110))
    return (
        f'"""The serialized FileDescriptorProto of caffe.proto. {WRITTEN_BY}"""\n\nimport base64\nimport zlib\n\n'
        f"DESCRIPTOR = zlib.decompress(\n    base64.b85decode(\n{textwrap.indent(lines, '    ')}\n    )\n)\n"
    )


def types_module(file: FileDescriptorProto) -> str:
    """Source of the type stub: one class per message, with its fields as attributes."""
    enums = "".join(_enum(enum, "") for enum in file.enum_type)
    extensions = "".join(f"{field.name}: Any\n" for field in file.extension)
    return _PREAMBLE + enums + extensions + "\n" + "\n".join(_message(message) for message in file.message_type)


def _enum(enum: EnumDescriptorProto, indent: str) -> str:
    values = "".join(f"{indent}{value.name}: int\n" for value in enum.value)
    return f"{indent}class {enum.name}(EnumType): ...\n{values}"


def _message(message: DescriptorProto) -> str:
    lines = "".join(_enum(enum, "    ") for enum in message.enum_type)
    fields = {field.name: _field(field) for field in message.field}
    lines += "".join(f"    {name}: {kind}\n" for name, (kind, _) in fields.items())
    arguments = ", ".join(f"{name}: {argument} = ..." for name, (_, argument) in fields.items())
    return f"class {message.name}(Message):\n{lines}    def __init__(self, *, {arguments}) -> None: ...\n"


def _field(field: FieldDescriptorProto) -> tuple[str, str]:
    """The field's type, and that of the constructor's argument of its name."""
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    if field.type == FieldDescriptorProto.TYPE_MESSAGE:
        name = field.type_name.rsplit(".", 1)[1]
        return (f"Repeated[{name}]", f"Iterable[{name}]") if repeated else (name, f"{name} | None")
    name = _SCALARS[field.type]
    if repeated:
        return f"MutableSequence[{name}]", f"Iterable[{name}]"
    if field.type == FieldDescriptorProto.TYPE_ENUM:
        return name, "int | str | None"  # the constructor takes a value's name too
    return name, f"{name} | None"


if __name__ == "__main__":
    main()
