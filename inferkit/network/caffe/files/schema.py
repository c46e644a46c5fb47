"""The messages of Caffe's files: `NetParameter`, `LayerParameter`, `BlobProto`, ... as caffe.proto declares them.

They are ordinary protobuf messages in a pool of their own, so they live in one process with a real caffe_pb2. Enum
values are attributes of the message that declares them (`PoolingParameter.AVE`), their names come from
`PoolingParameter.PoolMethod.Name(value)`; `TRAIN`, `TEST` and `Phase` stand alone.
"""

from inferkit.network.caffe.generated.messages import *  # noqa: F403
