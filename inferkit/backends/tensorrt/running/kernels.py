"""The type that a kernel multiplies in, by its name, in the forms that TensorRT's own, cuDNN's and cuBLAS's names have.

TensorRT's (XMMA) state types as `i8f32_i8i32_f32`: what is read and written, what is multiplied and added up, and the
type of the epilogue. So `f32f32_tf32f32_f32` multiplies in TF32 though all of its tensors are float32. Those of cuDNN
and cuBLAS begin with a letter (`h16816gemm`, `scudnn`, `i16832cudnn`), before which the type of the tensors may stand.
"""

from __future__ import annotations

import re

_NAMES = {
    "f16": "fp16",
    "fp16": "fp16",
    "bf16": "bf16",
    "tf32": "tf32",
    "f32": "fp32",
    "fp32": "fp32",
    "f64": "fp64",
    "i8": "int8",
    "u8": "int8",
    "int8": "int8",
    "e4m3": "fp8",
    "e5m2": "fp8",
    "i4": "int4",
}
_TYPE = "bf16|tf32|fp16|fp32|int8|int32|e4m3|e5m2|f16|f32|f64|i32|i8|u8|i4"
_XMMA = re.compile(rf"(?:^|_)({_TYPE})(?:{_TYPE}){{1,2}}(?:_({_TYPE})({_TYPE}))?(?=_|$)")
_LETTER = re.compile(r"(?:^|_)(?:(bf16|fp16|tf32)_)?([shi])(\d*)(tf32|bf16|f16)?(?:cudnn|gemm)")


def multiplied_type(kernel: str) -> str:
    """As inferkit calls it (fp16, tf32, int8); empty where the name does not say."""
    if match := _XMMA.search(kernel):
        return _NAMES.get(match[2] or match[1], "")
    if match := _LETTER.search(kernel):
        tensors, letter, shape, within = match.groups()
        if letter in "hi":
            return {"h": "fp16", "i": "int8"}[letter]
        # With a shape (s1688) it is a kernel of tensor cores, which adds up in FP32 what it multiplies in another type.
        return _NAMES.get(within or tensors or "", "") if shape or tensors or within else "fp32"
    return ""
