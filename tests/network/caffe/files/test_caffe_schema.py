"""The schema states Caffe's wire facts, and lives beside Caffe's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends.caffe.root import CaffeRoot
from inferkit.network.caffe.files import schema
from inferkit.network.caffe.generated.descriptor import DESCRIPTOR
from tools.build.generate_schema import compile_proto, descriptor_module, types_module

CAFFE = Path(schema.__file__).parents[3]

_DUMP = """
import json
from caffe.proto import caffe_pb2
from google.protobuf import descriptor_pb2
file = descriptor_pb2.FileDescriptorProto()
caffe_pb2.DESCRIPTOR.CopyToProto(file)
print(json.dumps(file.SerializeToString().hex()))
"""


@pytest.mark.pycaffe
def test_every_message_field_enum_and_default_is_that_of_real_caffe(caffe_root: CaffeRoot) -> None:
    serialized = bytes.fromhex(json.loads(caffe_root.run(["python3", "-c", _DUMP]).stdout.splitlines()[-1]))
    by_caffe = _facts(descriptor_pb2.FileDescriptorProto.FromString(serialized))
    ours = _facts(descriptor_pb2.FileDescriptorProto.FromString(DESCRIPTOR))
    left_out = {name for name in by_caffe if name.split(".")[0] in ("SolverParameter", "SolverState")}
    assert ours.keys() == by_caffe.keys() - left_out
    for name, fact in ours.items():
        assert fact == by_caffe[name], name


def test_the_committed_files_are_what_the_tool_writes() -> None:
    pytest.importorskip("grpc_tools")
    serialized = compile_proto(CAFFE / "caffe.proto")
    assert (CAFFE / "generated" / "descriptor.py").read_text() == descriptor_module(serialized)
    types = types_module(descriptor_pb2.FileDescriptorProto.FromString(serialized))
    assert (CAFFE / "generated" / "messages.pyi").read_text() == types


def test_the_schema_shares_a_process_with_caffe_pb2() -> None:
    """A file caffe.proto of package caffe, as in caffe_pb2, goes into protobuf's own pool after ours was loaded."""
    from google.protobuf import descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    file.message_type.add(name="NetParameter").field.add(name="name", number=1, label=1, type=9)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert descriptor_pool.Default().FindMessageTypeByName("caffe.NetParameter") is not None
    assert schema.NetParameter(layer=[schema.LayerParameter(name="x")]).layer[0].name == "x"


@given(st.sampled_from([name for name in schema.__dict__ if name.endswith("Parameter")]))
def test_a_fresh_message_has_caffe_defaults_and_no_field_set(name: str) -> None:
    message = getattr(schema, name)()
    assert message.ListFields() == []
    assert message.SerializePartialToString() == b""


def test_defaults_that_change_results() -> None:
    assert schema.ConvolutionParameter().bias_term
    assert schema.ConvolutionParameter().group == 1
    assert schema.PoolingParameter().pool == schema.PoolingParameter.MAX
    assert schema.PoolingParameter().stride == 1
    assert schema.LRNParameter().beta == 0.75
    assert schema.EltwiseParameter().operation == schema.EltwiseParameter.SUM
    assert schema.NetState().phase == schema.TEST
    assert schema.FillerParameter().type == "constant"
    assert schema.BatchNormParameter().eps == pytest.approx(1e-5)


def _facts(file: descriptor_pb2.FileDescriptorProto) -> dict[str, tuple[object, ...]]:
    """Everything that decides how bytes and text are read, by qualified name."""
    facts: dict[str, tuple[object, ...]] = {}

    def enum(prefix: str, declared: descriptor_pb2.EnumDescriptorProto) -> None:
        facts[f"{prefix}{declared.name}"] = tuple(sorted((value.number, value.name) for value in declared.value))

    def message(prefix: str, declared: descriptor_pb2.DescriptorProto) -> None:
        name = f"{prefix}{declared.name}"
        facts[name] = ()
        for inner in declared.enum_type:
            enum(f"{name}.", inner)
        for nested in declared.nested_type:
            message(f"{name}.", nested)
        for field in declared.field:
            default = "" if field.default_value in ("", "0", "false") else field.default_value
            kind = field.type_name.rsplit(".", 1)[-1]
            facts[f"{name}.{field.name}"] = (
                field.number,
                field.label,
                field.type,
                kind,
                field.options.packed,
                _as_number(default),
            )

    for declared in file.enum_type:
        enum("", declared)
    for top in file.message_type:
        message("", top)
    return facts


def _as_number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text
