"""The protocol's gRPC messages, made at run time from the table below: field numbers as KServe v2 has them.

They live in a descriptor pool of their own, so that a client library with the same names can be in the same process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# message -> fields "name:number:type", where * is repeated and a capital letter begins a message of this table.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:1:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:1:bool",
    "ModelReadyRequest": "name:1:string version:2:string",
    "ModelReadyResponse": "ready:1:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:1:string version:2:string extensions:3:*string",
    "ModelMetadataRequest": "name:1:string version:2:string",
    "ModelMetadataResponse.TensorMetadata": "name:1:string datatype:2:string shape:3:*int64",
    "ModelMetadataResponse": "name:1:string versions:2:*string platform:3:string "
    "inputs:4:*ModelMetadataResponse.TensorMetadata outputs:5:*ModelMetadataResponse.TensorMetadata",
    "InferParameter": "bool_param:1:bool int64_param:2:int64 string_param:3:string",
    "InferTensorContents": "bool_contents:1:*bool int_contents:2:*int32 int64_contents:3:*int64 "
    "uint_contents:4:*uint32 uint64_contents:5:*uint64 fp32_contents:6:*float fp64_contents:7:*double "
    "bytes_contents:8:*bytes",
    "ModelInferRequest.InferInputTensor": "name:1:string datatype:2:string shape:3:*int64 "
    "parameters:4:map contents:5:InferTensorContents",
    "ModelInferRequest.InferRequestedOutputTensor": "name:1:string parameters:2:map",
    "ModelInferRequest": "model_name:1:string model_version:2:string id:3:string parameters:4:map "
    "inputs:5:*ModelInferRequest.InferInputTensor outputs:6:*ModelInferRequest.InferRequestedOutputTensor "
    "raw_input_contents:7:*bytes",
    "ModelInferResponse.InferOutputTensor": "name:1:string datatype:2:string shape:3:*int64 "
    "parameters:4:map contents:5:InferTensorContents",
    "ModelInferResponse": "model_name:1:string model_version:2:string id:3:string parameters:4:map "
    "outputs:5:*ModelInferResponse.InferOutputTensor raw_output_contents:6:*bytes",
}


@cache
def messages() -> dict[str, Any]:
    """The message classes by name, such as "ModelInferRequest"."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="inferkit_serve.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(_MESSAGES, key=lambda name: name.count(".")):  # the outer ones first
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
    for name, fields in _MESSAGES.items():
        message = made[name]
        for text in fields.split():
            label, number, kind = text.split(":")
            field = message.field.add(name=label, number=int(number), label=field_type.LABEL_OPTIONAL)
            if kind == "map":
                kind = f"*{name}.ParametersEntry"
                entry = message.nested_type.add(name="ParametersEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=field_type.LABEL_OPTIONAL, type=field_type.TYPE_STRING)
                value = entry.field.add(name="value", number=2, label=field_type.LABEL_OPTIONAL)
                value.type, value.type_name = field_type.TYPE_MESSAGE, f".{PACKAGE}.InferParameter"
            if kind.startswith("*"):
                field.label = field_type.LABEL_REPEATED
            kind = kind.lstrip("*")
            if kind[0].isupper():
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
    choice = made["InferParameter"]
    choice.oneof_decl.add(name="parameter_choice")
    for field in choice.field:
        field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }
