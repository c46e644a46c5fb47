"""The type that a kernel multiplies in, by names that TensorRT 8 to 10 have printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends.tensorrt.running.kernels import multiplied_type

KERNELS = [
    ("sm80_xmma_fprop_implicit_gemm_indexed_wo_smem_f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize128x128x32", "fp16"),
    ("sm90_xmma_gemm_f16f16_f16f32_f32_nn_n_tilesize64x64x64_cgasize1x1x1", "fp16"),
    ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize32x32x64", "bf16"),
    ("sm80_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nchw_tilesize64x32x64", "tf32"),
    ("sm80_xmma_fprop_wngd_f32f32_f32_f32_nchwkcrs_nchw_tilesize8x16x16x8", "fp32"),
    ("sm50_xmma_cublas_smallN_NN_f32f32_f32_f32_nn_n_thread_count256", "fp32"),
    ("sm90_xmma_fprop_implicit_gemm_i8f32_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_nchw", "int8"),
    ("sm80_xmma_conv_fprop_smallk_i8i8_i32_f32_nchw_vect_c_32kcrs_vect_c_32", "int8"),
    ("sm80_xmma_fprop_avdt_dense_int8int8_tilesize64x128x32_tapsperload3", "int8"),
    ("sm90_xmma_gemm_e4m3f32_e4m3f32_f32_tn_n_tilesize64x64x128", "fp8"),
    ("ampere_h16816gemm_256x128_ldg8_nn_v1", "fp16"),
    ("turing_fp16_s1688cudnn_fp16_128x128_ldg8_relu_f2f_exp_medium_nhwc_tn_v1", "fp16"),
    ("ampere_scudnn_128x64_relu_medium_nn_v1", "fp32"),
    ("ampere_sgemm_32x128_tn", "fp32"),
    ("cutlass_80_tensorop_s1688tf32gemm_128x128_16x4_nn_align4", "tf32"),
    ("ampere_fp32_icudnn_int8x4_128x128_relu_medium_nn_v1", "int8"),
    ("ampere_int32_i16832cudnn_int8_256x64_ldg16_relu_interior_nhwc_tn_v1", "int8"),
    # What is fed to a tensor core that sums in FP32 this name does not say.
    ("ampere_s1688gemm_128x128_ldg4_nn", ""),
    ("sm50_xmma_pooling_fw_4d_FP32FP32NCHW_Average_FastDiv", ""),
    ("sm72_xmma_pooling_IMMA_NCxHW32_generic_kMAX", ""),
    ("__myl_Cas_0x584886b36bdb76c97856c10610a67af6", ""),
    ("0x00000000000003e8", ""),
    ("", ""),
]


@pytest.mark.parametrize(("kernel", "multiplied"), KERNELS)
def test_the_type_that_is_multiplied(kernel: str, multiplied: str) -> None:
    assert multiplied_type(kernel) == multiplied


@given(st.text(max_size=60))
def test_any_other_name_says_nothing_or_a_type_of_inferkits(kernel: str) -> None:
    assert multiplied_type(kernel) in ("", "fp32", "tf32", "fp16", "bf16", "int8", "fp8", "fp64", "int4")
