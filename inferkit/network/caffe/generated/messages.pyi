"""Types of the messages of caffe.proto. Written by tools/build/generate_schema.py from caffe.proto; do not edit."""

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

class Phase(EnumType): ...
TRAIN: int
TEST: int
stored_values: Any

class BlobShape(Message):
    dim: MutableSequence[int]
    def __init__(self, *, dim: Iterable[int] = ...) -> None: ...

class BlobProto(Message):
    num: int
    channels: int
    height: int
    width: int
    data: MutableSequence[float]
    diff: MutableSequence[float]
    shape: BlobShape
    double_data: MutableSequence[float]
    double_diff: MutableSequence[float]
    def __init__(self, *, num: int | None = ..., channels: int | None = ..., height: int | None = ..., width: int | None = ..., data: Iterable[float] = ..., diff: Iterable[float] = ..., shape: BlobShape | None = ..., double_data: Iterable[float] = ..., double_diff: Iterable[float] = ...) -> None: ...

class BlobProtoVector(Message):
    blobs: Repeated[BlobProto]
    def __init__(self, *, blobs: Iterable[BlobProto] = ...) -> None: ...

class Datum(Message):
    channels: int
    height: int
    width: int
    data: bytes
    label: int
    float_data: MutableSequence[float]
    encoded: bool
    def __init__(self, *, channels: int | None = ..., height: int | None = ..., width: int | None = ..., data: bytes | None = ..., label: int | None = ..., float_data: Iterable[float] = ..., encoded: bool | None = ...) -> None: ...

class FillerParameter(Message):
    class VarianceNorm(EnumType): ...
    FAN_IN: int
    FAN_OUT: int
    AVERAGE: int
    type: str
    value: float
    min: float
    max: float
    mean: float
    std: float
    sparse: int
    variance_norm: int
    def __init__(self, *, type: str | None = ..., value: float | None = ..., min: float | None = ..., max: float | None = ..., mean: float | None = ..., std: float | None = ..., sparse: int | None = ..., variance_norm: int | str | None = ...) -> None: ...

class NetParameter(Message):
    name: str
    layers: Repeated[V1LayerParameter]
    input: MutableSequence[str]
    input_dim: MutableSequence[int]
    force_backward: bool
    state: NetState
    debug_info: bool
    input_shape: Repeated[BlobShape]
    layer: Repeated[LayerParameter]
    def __init__(self, *, name: str | None = ..., layers: Iterable[V1LayerParameter] = ..., input: Iterable[str] = ..., input_dim: Iterable[int] = ..., force_backward: bool | None = ..., state: NetState | None = ..., debug_info: bool | None = ..., input_shape: Iterable[BlobShape] = ..., layer: Iterable[LayerParameter] = ...) -> None: ...

class NetState(Message):
    phase: int
    level: int
    stage: MutableSequence[str]
    def __init__(self, *, phase: int | str | None = ..., level: int | None = ..., stage: Iterable[str] = ...) -> None: ...

class NetStateRule(Message):
    phase: int
    min_level: int
    max_level: int
    stage: MutableSequence[str]
    not_stage: MutableSequence[str]
    def __init__(self, *, phase: int | str | None = ..., min_level: int | None = ..., max_level: int | None = ..., stage: Iterable[str] = ..., not_stage: Iterable[str] = ...) -> None: ...

class ParamSpec(Message):
    class DimCheckMode(EnumType): ...
    STRICT: int
    PERMISSIVE: int
    name: str
    share_mode: int
    lr_mult: float
    decay_mult: float
    def __init__(self, *, name: str | None = ..., share_mode: int | str | None = ..., lr_mult: float | None = ..., decay_mult: float | None = ...) -> None: ...

class LayerParameter(Message):
    name: str
    type: str
    bottom: MutableSequence[str]
    top: MutableSequence[str]
    loss_weight: MutableSequence[float]
    param: Repeated[ParamSpec]
    blobs: Repeated[BlobProto]
    include: Repeated[NetStateRule]
    exclude: Repeated[NetStateRule]
    phase: int
    propagate_down: MutableSequence[bool]
    transform_param: TransformationParameter
    loss_param: LossParameter
    accuracy_param: AccuracyParameter
    argmax_param: ArgMaxParameter
    concat_param: ConcatParameter
    contrastive_loss_param: ContrastiveLossParameter
    convolution_param: ConvolutionParameter
    data_param: DataParameter
    dropout_param: DropoutParameter
    dummy_data_param: DummyDataParameter
    eltwise_param: EltwiseParameter
    exp_param: ExpParameter
    hdf5_data_param: HDF5DataParameter
    hdf5_output_param: HDF5OutputParameter
    hinge_loss_param: HingeLossParameter
    image_data_param: ImageDataParameter
    infogain_loss_param: InfogainLossParameter
    inner_product_param: InnerProductParameter
    lrn_param: LRNParameter
    memory_data_param: MemoryDataParameter
    mvn_param: MVNParameter
    pooling_param: PoolingParameter
    power_param: PowerParameter
    relu_param: ReLUParameter
    sigmoid_param: SigmoidParameter
    softmax_param: SoftmaxParameter
    slice_param: SliceParameter
    tanh_param: TanHParameter
    threshold_param: ThresholdParameter
    window_data_param: WindowDataParameter
    python_param: PythonParameter
    prelu_param: PReLUParameter
    spp_param: SPPParameter
    reshape_param: ReshapeParameter
    log_param: LogParameter
    flatten_param: FlattenParameter
    reduction_param: ReductionParameter
    embed_param: EmbedParameter
    tile_param: TileParameter
    batch_norm_param: BatchNormParameter
    elu_param: ELUParameter
    bias_param: BiasParameter
    scale_param: ScaleParameter
    input_param: InputParameter
    crop_param: CropParameter
    parameter_param: ParameterParameter
    recurrent_param: RecurrentParameter
    swish_param: SwishParameter
    clip_param: ClipParameter
    def __init__(self, *, name: str | None = ..., type: str | None = ..., bottom: Iterable[str] = ..., top: Iterable[str] = ..., loss_weight: Iterable[float] = ..., param: Iterable[ParamSpec] = ..., blobs: Iterable[BlobProto] = ..., include: Iterable[NetStateRule] = ..., exclude: Iterable[NetStateRule] = ..., phase: int | str | None = ..., propagate_down: Iterable[bool] = ..., transform_param: TransformationParameter | None = ..., loss_param: LossParameter | None = ..., accuracy_param: AccuracyParameter | None = ..., argmax_param: ArgMaxParameter | None = ..., concat_param: ConcatParameter | None = ..., contrastive_loss_param: ContrastiveLossParameter | None = ..., convolution_param: ConvolutionParameter | None = ..., data_param: DataParameter | None = ..., dropout_param: DropoutParameter | None = ..., dummy_data_param: DummyDataParameter | None = ..., eltwise_param: EltwiseParameter | None = ..., exp_param: ExpParameter | None = ..., hdf5_data_param: HDF5DataParameter | None = ..., hdf5_output_param: HDF5OutputParameter | None = ..., hinge_loss_param: HingeLossParameter | None = ..., image_data_param: ImageDataParameter | None = ..., infogain_loss_param: InfogainLossParameter | None = ..., inner_product_param: InnerProductParameter | None = ..., lrn_param: LRNParameter | None = ..., memory_data_param: MemoryDataParameter | None = ..., mvn_param: MVNParameter | None = ..., pooling_param: PoolingParameter | None = ..., power_param: PowerParameter | None = ..., relu_param: ReLUParameter | None = ..., sigmoid_param: SigmoidParameter | None = ..., softmax_param: SoftmaxParameter | None = ..., slice_param: SliceParameter | None = ..., tanh_param: TanHParameter | None = ..., threshold_param: ThresholdParameter | None = ..., window_data_param: WindowDataParameter | None = ..., python_param: PythonParameter | None = ..., prelu_param: PReLUParameter | None = ..., spp_param: SPPParameter | None = ..., reshape_param: ReshapeParameter | None = ..., log_param: LogParameter | None = ..., flatten_param: FlattenParameter | None = ..., reduction_param: ReductionParameter | None = ..., embed_param: EmbedParameter | None = ..., tile_param: TileParameter | None = ..., batch_norm_param: BatchNormParameter | None = ..., elu_param: ELUParameter | None = ..., bias_param: BiasParameter | None = ..., scale_param: ScaleParameter | None = ..., input_param: InputParameter | None = ..., crop_param: CropParameter | None = ..., parameter_param: ParameterParameter | None = ..., recurrent_param: RecurrentParameter | None = ..., swish_param: SwishParameter | None = ..., clip_param: ClipParameter | None = ...) -> None: ...

class TransformationParameter(Message):
    scale: float
    mirror: bool
    crop_size: int
    mean_file: str
    mean_value: MutableSequence[float]
    force_color: bool
    force_gray: bool
    def __init__(self, *, scale: float | None = ..., mirror: bool | None = ..., crop_size: int | None = ..., mean_file: str | None = ..., mean_value: Iterable[float] = ..., force_color: bool | None = ..., force_gray: bool | None = ...) -> None: ...

class LossParameter(Message):
    class NormalizationMode(EnumType): ...
    FULL: int
    VALID: int
    BATCH_SIZE: int
    NONE: int
    ignore_label: int
    normalize: bool
    normalization: int
    def __init__(self, *, ignore_label: int | None = ..., normalize: bool | None = ..., normalization: int | str | None = ...) -> None: ...

class AccuracyParameter(Message):
    top_k: int
    axis: int
    ignore_label: int
    def __init__(self, *, top_k: int | None = ..., axis: int | None = ..., ignore_label: int | None = ...) -> None: ...

class ArgMaxParameter(Message):
    out_max_val: bool
    top_k: int
    axis: int
    def __init__(self, *, out_max_val: bool | None = ..., top_k: int | None = ..., axis: int | None = ...) -> None: ...

class BatchNormParameter(Message):
    use_global_stats: bool
    moving_average_fraction: float
    eps: float
    def __init__(self, *, use_global_stats: bool | None = ..., moving_average_fraction: float | None = ..., eps: float | None = ...) -> None: ...

class BiasParameter(Message):
    axis: int
    num_axes: int
    filler: FillerParameter
    def __init__(self, *, axis: int | None = ..., num_axes: int | None = ..., filler: FillerParameter | None = ...) -> None: ...

class ClipParameter(Message):
    min: float
    max: float
    def __init__(self, *, min: float | None = ..., max: float | None = ...) -> None: ...

class ConcatParameter(Message):
    concat_dim: int
    axis: int
    def __init__(self, *, concat_dim: int | None = ..., axis: int | None = ...) -> None: ...

class ContrastiveLossParameter(Message):
    margin: float
    legacy_version: bool
    def __init__(self, *, margin: float | None = ..., legacy_version: bool | None = ...) -> None: ...

class ConvolutionParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    num_output: int
    bias_term: bool
    pad: MutableSequence[int]
    kernel_size: MutableSequence[int]
    group: int
    stride: MutableSequence[int]
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    pad_h: int
    pad_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    engine: int
    axis: int
    force_nd_im2col: bool
    dilation: MutableSequence[int]
    def __init__(self, *, num_output: int | None = ..., bias_term: bool | None = ..., pad: Iterable[int] = ..., kernel_size: Iterable[int] = ..., group: int | None = ..., stride: Iterable[int] = ..., weight_filler: FillerParameter | None = ..., bias_filler: FillerParameter | None = ..., pad_h: int | None = ..., pad_w: int | None = ..., kernel_h: int | None = ..., kernel_w: int | None = ..., stride_h: int | None = ..., stride_w: int | None = ..., engine: int | str | None = ..., axis: int | None = ..., force_nd_im2col: bool | None = ..., dilation: Iterable[int] = ...) -> None: ...

class CropParameter(Message):
    axis: int
    offset: MutableSequence[int]
    def __init__(self, *, axis: int | None = ..., offset: Iterable[int] = ...) -> None: ...

class DataParameter(Message):
    class DB(EnumType): ...
    LEVELDB: int
    LMDB: int
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    rand_skip: int
    backend: int
    force_encoded_color: bool
    prefetch: int
    def __init__(self, *, source: str | None = ..., scale: float | None = ..., mean_file: str | None = ..., batch_size: int | None = ..., crop_size: int | None = ..., mirror: bool | None = ..., rand_skip: int | None = ..., backend: int | str | None = ..., force_encoded_color: bool | None = ..., prefetch: int | None = ...) -> None: ...

class DropoutParameter(Message):
    dropout_ratio: float
    def __init__(self, *, dropout_ratio: float | None = ...) -> None: ...

class DummyDataParameter(Message):
    data_filler: Repeated[FillerParameter]
    num: MutableSequence[int]
    channels: MutableSequence[int]
    height: MutableSequence[int]
    width: MutableSequence[int]
    shape: Repeated[BlobShape]
    def __init__(self, *, data_filler: Iterable[FillerParameter] = ..., num: Iterable[int] = ..., channels: Iterable[int] = ..., height: Iterable[int] = ..., width: Iterable[int] = ..., shape: Iterable[BlobShape] = ...) -> None: ...

class ELUParameter(Message):
    alpha: float
    def __init__(self, *, alpha: float | None = ...) -> None: ...

class EltwiseParameter(Message):
    class EltwiseOp(EnumType): ...
    PROD: int
    SUM: int
    MAX: int
    operation: int
    coeff: MutableSequence[float]
    stable_prod_grad: bool
    def __init__(self, *, operation: int | str | None = ..., coeff: Iterable[float] = ..., stable_prod_grad: bool | None = ...) -> None: ...

class EmbedParameter(Message):
    num_output: int
    input_dim: int
    bias_term: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    def __init__(self, *, num_output: int | None = ..., input_dim: int | None = ..., bias_term: bool | None = ..., weight_filler: FillerParameter | None = ..., bias_filler: FillerParameter | None = ...) -> None: ...

class ExpParameter(Message):
    base: float
    scale: float
    shift: float
    def __init__(self, *, base: float | None = ..., scale: float | None = ..., shift: float | None = ...) -> None: ...

class FlattenParameter(Message):
    axis: int
    end_axis: int
    def __init__(self, *, axis: int | None = ..., end_axis: int | None = ...) -> None: ...

class HDF5DataParameter(Message):
    source: str
    batch_size: int
    shuffle: bool
    def __init__(self, *, source: str | None = ..., batch_size: int | None = ..., shuffle: bool | None = ...) -> None: ...

class HDF5OutputParameter(Message):
    file_name: str
    def __init__(self, *, file_name: str | None = ...) -> None: ...

class HingeLossParameter(Message):
    class Norm(EnumType): ...
    L1: int
    L2: int
    norm: int
    def __init__(self, *, norm: int | str | None = ...) -> None: ...

class ImageDataParameter(Message):
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    root_folder: str
    def __init__(self, *, source: str | None = ..., scale: float | None = ..., mean_file: str | None = ..., batch_size: int | None = ..., crop_size: int | None = ..., mirror: bool | None = ..., rand_skip: int | None = ..., shuffle: bool | None = ..., new_height: int | None = ..., new_width: int | None = ..., is_color: bool | None = ..., root_folder: str | None = ...) -> None: ...

class InfogainLossParameter(Message):
    source: str
    axis: int
    def __init__(self, *, source: str | None = ..., axis: int | None = ...) -> None: ...

class InnerProductParameter(Message):
    num_output: int
    bias_term: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    axis: int
    transpose: bool
    def __init__(self, *, num_output: int | None = ..., bias_term: bool | None = ..., weight_filler: FillerParameter | None = ..., bias_filler: FillerParameter | None = ..., axis: int | None = ..., transpose: bool | None = ...) -> None: ...

class InputParameter(Message):
    shape: Repeated[BlobShape]
    def __init__(self, *, shape: Iterable[BlobShape] = ...) -> None: ...

class LRNParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    class NormRegion(EnumType): ...
    ACROSS_CHANNELS: int
    WITHIN_CHANNEL: int
    local_size: int
    alpha: float
    beta: float
    norm_region: int
    k: float
    engine: int
    def __init__(self, *, local_size: int | None = ..., alpha: float | None = ..., beta: float | None = ..., norm_region: int | str | None = ..., k: float | None = ..., engine: int | str | None = ...) -> None: ...

class LogParameter(Message):
    base: float
    scale: float
    shift: float
    def __init__(self, *, base: float | None = ..., scale: float | None = ..., shift: float | None = ...) -> None: ...

class MVNParameter(Message):
    normalize_variance: bool
    across_channels: bool
    eps: float
    def __init__(self, *, normalize_variance: bool | None = ..., across_channels: bool | None = ..., eps: float | None = ...) -> None: ...

class MemoryDataParameter(Message):
    batch_size: int
    channels: int
    height: int
    width: int
    def __init__(self, *, batch_size: int | None = ..., channels: int | None = ..., height: int | None = ..., width: int | None = ...) -> None: ...

class PReLUParameter(Message):
    filler: FillerParameter
    channel_shared: bool
    def __init__(self, *, filler: FillerParameter | None = ..., channel_shared: bool | None = ...) -> None: ...

class ParameterParameter(Message):
    shape: BlobShape
    def __init__(self, *, shape: BlobShape | None = ...) -> None: ...

class PoolingParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    class PoolMethod(EnumType): ...
    MAX: int
    AVE: int
    STOCHASTIC: int
    class RoundMode(EnumType): ...
    CEIL: int
    FLOOR: int
    pool: int
    kernel_size: int
    stride: int
    pad: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    engine: int
    global_pooling: bool
    round_mode: int
    def __init__(self, *, pool: int | str | None = ..., kernel_size: int | None = ..., stride: int | None = ..., pad: int | None = ..., kernel_h: int | None = ..., kernel_w: int | None = ..., stride_h: int | None = ..., stride_w: int | None = ..., pad_h: int | None = ..., pad_w: int | None = ..., engine: int | str | None = ..., global_pooling: bool | None = ..., round_mode: int | str | None = ...) -> None: ...

class PowerParameter(Message):
    power: float
    scale: float
    shift: float
    def __init__(self, *, power: float | None = ..., scale: float | None = ..., shift: float | None = ...) -> None: ...

class PythonParameter(Message):
    module: str
    layer: str
    param_str: str
    share_in_parallel: bool
    def __init__(self, *, module: str | None = ..., layer: str | None = ..., param_str: str | None = ..., share_in_parallel: bool | None = ...) -> None: ...

class ReLUParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    negative_slope: float
    engine: int
    def __init__(self, *, negative_slope: float | None = ..., engine: int | str | None = ...) -> None: ...

class RecurrentParameter(Message):
    num_output: int
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    debug_info: bool
    expose_hidden: bool
    def __init__(self, *, num_output: int | None = ..., weight_filler: FillerParameter | None = ..., bias_filler: FillerParameter | None = ..., debug_info: bool | None = ..., expose_hidden: bool | None = ...) -> None: ...

class ReductionParameter(Message):
    class ReductionOp(EnumType): ...
    SUM: int
    ASUM: int
    SUMSQ: int
    MEAN: int
    operation: int
    axis: int
    coeff: float
    def __init__(self, *, operation: int | str | None = ..., axis: int | None = ..., coeff: float | None = ...) -> None: ...

class ReshapeParameter(Message):
    shape: BlobShape
    axis: int
    num_axes: int
    def __init__(self, *, shape: BlobShape | None = ..., axis: int | None = ..., num_axes: int | None = ...) -> None: ...

class SPPParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    class PoolMethod(EnumType): ...
    MAX: int
    AVE: int
    STOCHASTIC: int
    pyramid_height: int
    pool: int
    engine: int
    def __init__(self, *, pyramid_height: int | None = ..., pool: int | str | None = ..., engine: int | str | None = ...) -> None: ...

class ScaleParameter(Message):
    axis: int
    num_axes: int
    filler: FillerParameter
    bias_term: bool
    bias_filler: FillerParameter
    def __init__(self, *, axis: int | None = ..., num_axes: int | None = ..., filler: FillerParameter | None = ..., bias_term: bool | None = ..., bias_filler: FillerParameter | None = ...) -> None: ...

class SigmoidParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    engine: int
    def __init__(self, *, engine: int | str | None = ...) -> None: ...

class SliceParameter(Message):
    slice_dim: int
    slice_point: MutableSequence[int]
    axis: int
    def __init__(self, *, slice_dim: int | None = ..., slice_point: Iterable[int] = ..., axis: int | None = ...) -> None: ...

class SoftmaxParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    engine: int
    axis: int
    def __init__(self, *, engine: int | str | None = ..., axis: int | None = ...) -> None: ...

class SwishParameter(Message):
    beta: float
    def __init__(self, *, beta: float | None = ...) -> None: ...

class TanHParameter(Message):
    class Engine(EnumType): ...
    DEFAULT: int
    CAFFE: int
    CUDNN: int
    engine: int
    def __init__(self, *, engine: int | str | None = ...) -> None: ...

class ThresholdParameter(Message):
    threshold: float
    def __init__(self, *, threshold: float | None = ...) -> None: ...

class TileParameter(Message):
    axis: int
    tiles: int
    def __init__(self, *, axis: int | None = ..., tiles: int | None = ...) -> None: ...

class WindowDataParameter(Message):
    source: str
    scale: float
    mean_file: str
    batch_size: int
    crop_size: int
    mirror: bool
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    crop_mode: str
    cache_images: bool
    root_folder: str
    def __init__(self, *, source: str | None = ..., scale: float | None = ..., mean_file: str | None = ..., batch_size: int | None = ..., crop_size: int | None = ..., mirror: bool | None = ..., fg_threshold: float | None = ..., bg_threshold: float | None = ..., fg_fraction: float | None = ..., context_pad: int | None = ..., crop_mode: str | None = ..., cache_images: bool | None = ..., root_folder: str | None = ...) -> None: ...

class V1LayerParameter(Message):
    class DimCheckMode(EnumType): ...
    STRICT: int
    PERMISSIVE: int
    class LayerType(EnumType): ...
    NONE: int
    ACCURACY: int
    BNLL: int
    CONCAT: int
    CONVOLUTION: int
    DATA: int
    DROPOUT: int
    EUCLIDEAN_LOSS: int
    FLATTEN: int
    HDF5_DATA: int
    HDF5_OUTPUT: int
    IM2COL: int
    IMAGE_DATA: int
    INFOGAIN_LOSS: int
    INNER_PRODUCT: int
    LRN: int
    MULTINOMIAL_LOGISTIC_LOSS: int
    POOLING: int
    RELU: int
    SIGMOID: int
    SOFTMAX: int
    SOFTMAX_LOSS: int
    SPLIT: int
    TANH: int
    WINDOW_DATA: int
    ELTWISE: int
    POWER: int
    SIGMOID_CROSS_ENTROPY_LOSS: int
    HINGE_LOSS: int
    MEMORY_DATA: int
    ARGMAX: int
    THRESHOLD: int
    DUMMY_DATA: int
    SLICE: int
    MVN: int
    ABSVAL: int
    SILENCE: int
    CONTRASTIVE_LOSS: int
    EXP: int
    DECONVOLUTION: int
    layer: V0LayerParameter
    bottom: MutableSequence[str]
    top: MutableSequence[str]
    name: str
    type: int
    blobs: Repeated[BlobProto]
    blobs_lr: MutableSequence[float]
    weight_decay: MutableSequence[float]
    concat_param: ConcatParameter
    convolution_param: ConvolutionParameter
    data_param: DataParameter
    dropout_param: DropoutParameter
    hdf5_data_param: HDF5DataParameter
    hdf5_output_param: HDF5OutputParameter
    image_data_param: ImageDataParameter
    infogain_loss_param: InfogainLossParameter
    inner_product_param: InnerProductParameter
    lrn_param: LRNParameter
    pooling_param: PoolingParameter
    window_data_param: WindowDataParameter
    power_param: PowerParameter
    memory_data_param: MemoryDataParameter
    argmax_param: ArgMaxParameter
    eltwise_param: EltwiseParameter
    threshold_param: ThresholdParameter
    dummy_data_param: DummyDataParameter
    accuracy_param: AccuracyParameter
    hinge_loss_param: HingeLossParameter
    relu_param: ReLUParameter
    slice_param: SliceParameter
    include: Repeated[NetStateRule]
    exclude: Repeated[NetStateRule]
    mvn_param: MVNParameter
    loss_weight: MutableSequence[float]
    transform_param: TransformationParameter
    tanh_param: TanHParameter
    sigmoid_param: SigmoidParameter
    softmax_param: SoftmaxParameter
    contrastive_loss_param: ContrastiveLossParameter
    exp_param: ExpParameter
    loss_param: LossParameter
    param: MutableSequence[str]
    blob_share_mode: MutableSequence[int]
    def __init__(self, *, layer: V0LayerParameter | None = ..., bottom: Iterable[str] = ..., top: Iterable[str] = ..., name: str | None = ..., type: int | str | None = ..., blobs: Iterable[BlobProto] = ..., blobs_lr: Iterable[float] = ..., weight_decay: Iterable[float] = ..., concat_param: ConcatParameter | None = ..., convolution_param: ConvolutionParameter | None = ..., data_param: DataParameter | None = ..., dropout_param: DropoutParameter | None = ..., hdf5_data_param: HDF5DataParameter | None = ..., hdf5_output_param: HDF5OutputParameter | None = ..., image_data_param: ImageDataParameter | None = ..., infogain_loss_param: InfogainLossParameter | None = ..., inner_product_param: InnerProductParameter | None = ..., lrn_param: LRNParameter | None = ..., pooling_param: PoolingParameter | None = ..., window_data_param: WindowDataParameter | None = ..., power_param: PowerParameter | None = ..., memory_data_param: MemoryDataParameter | None = ..., argmax_param: ArgMaxParameter | None = ..., eltwise_param: EltwiseParameter | None = ..., threshold_param: ThresholdParameter | None = ..., dummy_data_param: DummyDataParameter | None = ..., accuracy_param: AccuracyParameter | None = ..., hinge_loss_param: HingeLossParameter | None = ..., relu_param: ReLUParameter | None = ..., slice_param: SliceParameter | None = ..., include: Iterable[NetStateRule] = ..., exclude: Iterable[NetStateRule] = ..., mvn_param: MVNParameter | None = ..., loss_weight: Iterable[float] = ..., transform_param: TransformationParameter | None = ..., tanh_param: TanHParameter | None = ..., sigmoid_param: SigmoidParameter | None = ..., softmax_param: SoftmaxParameter | None = ..., contrastive_loss_param: ContrastiveLossParameter | None = ..., exp_param: ExpParameter | None = ..., loss_param: LossParameter | None = ..., param: Iterable[str] = ..., blob_share_mode: Iterable[int] = ...) -> None: ...

class V0LayerParameter(Message):
    class PoolMethod(EnumType): ...
    MAX: int
    AVE: int
    STOCHASTIC: int
    name: str
    type: str
    num_output: int
    biasterm: bool
    weight_filler: FillerParameter
    bias_filler: FillerParameter
    pad: int
    kernelsize: int
    group: int
    stride: int
    pool: int
    dropout_ratio: float
    local_size: int
    alpha: float
    beta: float
    source: str
    scale: float
    meanfile: str
    batchsize: int
    cropsize: int
    mirror: bool
    k: float
    blobs: Repeated[BlobProto]
    blobs_lr: MutableSequence[float]
    weight_decay: MutableSequence[float]
    rand_skip: int
    det_fg_threshold: float
    det_bg_threshold: float
    det_fg_fraction: float
    det_context_pad: int
    det_crop_mode: str
    new_num: int
    new_channels: int
    new_height: int
    new_width: int
    shuffle_images: bool
    concat_dim: int
    hdf5_output_param: HDF5OutputParameter
    def __init__(self, *, name: str | None = ..., type: str | None = ..., num_output: int | None = ..., biasterm: bool | None = ..., weight_filler: FillerParameter | None = ..., bias_filler: FillerParameter | None = ..., pad: int | None = ..., kernelsize: int | None = ..., group: int | None = ..., stride: int | None = ..., pool: int | str | None = ..., dropout_ratio: float | None = ..., local_size: int | None = ..., alpha: float | None = ..., beta: float | None = ..., source: str | None = ..., scale: float | None = ..., meanfile: str | None = ..., batchsize: int | None = ..., cropsize: int | None = ..., mirror: bool | None = ..., k: float | None = ..., blobs: Iterable[BlobProto] = ..., blobs_lr: Iterable[float] = ..., weight_decay: Iterable[float] = ..., rand_skip: int | None = ..., det_fg_threshold: float | None = ..., det_bg_threshold: float | None = ..., det_fg_fraction: float | None = ..., det_context_pad: int | None = ..., det_crop_mode: str | None = ..., new_num: int | None = ..., new_channels: int | None = ..., new_height: int | None = ..., new_width: int | None = ..., shuffle_images: bool | None = ..., concat_dim: int | None = ..., hdf5_output_param: HDF5OutputParameter | None = ...) -> None: ...
