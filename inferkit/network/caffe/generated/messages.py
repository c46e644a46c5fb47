"""Message classes of caffe.proto, made from its descriptor in a pool of their own. messages.pyi has their types.

A private pool keeps them apart from a real caffe_pb2 in the same process.
"""

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClassesForFiles

from inferkit.network.caffe.generated.descriptor import DESCRIPTOR

_POOL = DescriptorPool()
_POOL.AddSerializedFile(DESCRIPTOR)
_FILE = _POOL.FindFileByName("caffe.proto")

Phase = EnumTypeWrapper(_FILE.enum_types_by_name["Phase"])
TRAIN, TEST = Phase.Value("TRAIN"), Phase.Value("TEST")
stored_values = _FILE.extensions_by_name["stored_values"]

_CLASSES = {name.rsplit(".", 1)[1]: kind for name, kind in GetMessageClassesForFiles([_FILE.name], _POOL).items()}
globals().update(_CLASSES)

__all__ = ["TEST", "TRAIN", "Message", "Phase", "stored_values", *_CLASSES]
