#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes profiles.txt: matrices quantized by the code of those whose bytes a profile of mxq promises.

    pip install numpy ml_dtypes torch packaging gguf compressed-tensors nvidia-modelopt
    git clone https://github.com/pytorch/ao          and
    git clone https://github.com/microsoft/microxcaling
    ./make_profiles.py --torchao ao --microxcaling microxcaling

README.md has the format.  mxq is never called.  DeepSeek's kernels run on GPUs only: their formula is
transcribed to numpy here, and is a second reading, no producer's code.
"""
import argparse
import importlib.metadata
import math
import sys
import warnings

import numpy as np
from make_vectors import (HERE, bits_of, decode_table, from_bits, hexadecimal, normal_blocks,
                          outlier_blocks, revision, threshold_blocks, tie_blocks)

FORMATS = {"e4m3": "mxfp8", "e5m2": "mxfp8-e5m2", "e3m2": "mxfp6-e3m2", "e2m3": "mxfp6-e2m3",
           "e2m1": "mxfp4", "mxint8": "mxint8"}
ALL = tuple(FORMATS)
SIGN = {"e4m3": 0x80, "e5m2": 0x80, "e3m2": 0x20, "e2m3": 0x20, "e2m1": 0x8}


def codes_of(element, values):
    """The codes of values that are all on the element's grid: exact, or it fails."""
    table = {abs(float(v)): c for c, v in reversed(list(enumerate(decode_table(element))))
             if not math.isnan(v) and v >= 0}
    codes = []
    for value in np.asarray(values, np.float64).ravel():
        code = table[abs(float(value))]
        is_negative = math.copysign(1.0, value) < 0
        if element in SIGN:
            codes.append(code | (SIGN[element] if is_negative else 0))
        else:
            codes.append(-code % 256 if is_negative else code)
    return codes


def nibbles(packed):
    packed = np.asarray(packed, np.uint8).ravel()
    return np.stack([packed & 15, packed >> 4], axis=-1).ravel()


def amax_of(x):
    return float(np.abs(x).max())


def exponent_of(v):
    """floor(log2(v)), exactly."""
    return math.frexp(v)[1] - 1


def exact_ceil(v):
    return exponent_of(v) + (math.frexp(v)[0] != 0.5)


# Each producer returns (tensor scale or None, scales, codes, whether it leaves the contract here).


def torchao(element, x):
    import torch
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.prototype.mx_formats.mx_tensor import to_mx
    dtypes = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2, "e3m2": "fp6_e3m2",
              "e2m3": "fp6_e2m3", "e2m1": torch.float4_e2m1fn_x2}
    scale, codes = to_mx(torch.from_numpy(x.copy()), dtypes[element], 32,
                         ScaleCalculationMode.FLOOR)
    codes = codes.view(torch.uint8).numpy()
    return None, scale.view(torch.uint8).numpy().ravel(), (
        nibbles(codes) if element == "e2m1" else codes.ravel()), False


def microxcaling(element, x):
    import torch
    from mx.formats import _get_format_params
    from mx.mx_ops import _quantize_mx, _shared_exponents
    name = {"e4m3": "fp8_e4m3", "e5m2": "fp8_e5m2", "e3m2": "fp6_e3m2", "e2m3": "fp6_e2m3",
            "e2m1": "fp4_e2m1", "mxint8": "int8"}[element]
    tensor = torch.from_numpy(x.copy())
    exponent = int(_shared_exponents(tensor, axes=[1]).item()) - _get_format_params(name)[2]
    exponent = max(exponent, -127)
    out = _quantize_mx(tensor.clone(), 8, name, axes=[-1], block_size=32, round="even").numpy()
    step = float(decode_table(element)[1])
    half = np.float32(np.ldexp(step / 2, exponent))
    leaves = bool(np.any(np.abs(x) == np.nextafter(half, np.float32(0))))
    leaves |= float(torch.floor(torch.log2(torch.tensor(amax_of(x))))) != exponent_of(amax_of(x))
    return None, [exponent + 127], codes_of(element, np.ldexp(out.astype(np.float64), -exponent)), leaves


def compressed_tensors(element, x):
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize
    from compressed_tensors.quantization.utils.helpers import calculate_qparams
    bits = {"e4m3": 8, "e2m3": 6, "e2m1": 4}[element]
    args = QuantizationArgs(num_bits=bits, type="float", strategy="group", group_size=32,
                            symmetric=True, scale_dtype=torch.uint8, zp_dtype=torch.uint8)
    tensor = torch.from_numpy(x.copy())
    low, high = tensor.amin(dim=1, keepdim=True), tensor.amax(dim=1, keepdim=True)
    scale, zero = calculate_qparams(low, high, args)
    out = quantize(tensor, scale, zero, args, dtype=torch.float32).numpy()
    return None, [exponent_of(float(scale)) + 127], codes_of(element, out), False


def channel(element, x):
    """compressed-tensors' FP8 channels: the contract's own arithmetic, under the default options."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize
    from compressed_tensors.quantization.utils.helpers import calculate_qparams
    args = QuantizationArgs(num_bits=8, type="float", strategy="channel", symmetric=True)
    tensor = torch.from_numpy(x.copy())
    low, high = tensor.amin(dim=1, keepdim=True), tensor.amax(dim=1, keepdim=True)
    scale, zero = calculate_qparams(low, high, args)
    out = quantize(tensor, scale, zero, args, dtype=torch.float8_e4m3fn)
    return None, bits_of(scale.numpy().ravel()), out.view(torch.uint8).numpy().ravel(), False


def ggml(element, x):
    from gguf import quants
    if element == "int8":
        out = quants.Q8_0.quantize_blocks(x.reshape(-1, 32))
        leaves = amax_of(x) / 127 >= 65520  # an infinite scale
        return None, out[:, :2].copy().view(np.uint16).ravel(), out[:, 2:].ravel(), leaves
    out = quants.MXFP4.quantize_blocks(x.reshape(-1, 32))
    low, high = out[:, 1:] & 15, out[:, 1:] >> 4  # the two halves of a block
    leaves = np.floor(np.log2(np.float32(amax_of(x)))) != exponent_of(amax_of(x))
    return None, out[:, 0], np.concatenate([low, high], axis=1).ravel(), bool(leaves)


def modelopt(element, x):
    import torch
    from modelopt.torch.quantization.qtensor.mxfp4_tensor import MXFP4QTensor
    from modelopt.torch.quantization.qtensor.mxfp8_tensor import MXFP8QTensor
    tensor = torch.from_numpy(x.copy())
    if element == "e4m3":
        out, scale = MXFP8QTensor.quantize(tensor)
        codes = out._quantized_data.view(torch.uint8).numpy().ravel()
    else:
        out, scale = MXFP4QTensor.quantize(tensor, 32)
        codes = nibbles(out._quantized_data.numpy())
    largest = float(decode_table(element)[:0x7F if element == "e4m3" else 8].max())
    exact = max(exact_ceil(amax_of(x) / largest), -127) if amax_of(x) else -127
    scales = scale.numpy().ravel()
    leaves = int(scales[0]) != exact + 127 or (element == "e2m1" and bool(np.any(x == 0)))
    return None, scales, codes, leaves


def modelopt_nvfp4(_, x):
    import torch
    from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
    out, scale, tensor_scale = NVFP4QTensor.quantize(torch.from_numpy(x.copy()), 16)
    return (int(bits_of(tensor_scale.numpy()).ravel()[0]),
            scale.view(torch.uint8).numpy().ravel(), nibbles(out._quantized_data.numpy()), False)


def deepseek(rows, cols):
    """act_quant and weight_quant of DeepSeek's inference/kernel.py, transcribed."""
    def quantize(_, x):
        import ml_dtypes
        out = np.zeros(x.shape, ml_dtypes.float8_e4m3fn)
        scales = []
        for i in range(0, x.shape[0], rows):
            for j in range(0, x.shape[1], cols):
                block = x[i:i + rows, j:j + cols]
                amax = np.maximum(np.abs(block).max(), np.float32(1e-4))
                scales.append(amax / np.float32(448))
                out[i:i + rows, j:j + cols] = (block / scales[-1]).astype(ml_dtypes.float8_e4m3fn)
        return None, bits_of(scales), out.view(np.uint8).ravel(), False
    return quantize


# -------------------------------------------- Matrices ----------------------------------------


def blocks(rng):
    """1 x 32, finite, without negative zeros, which most producers lose."""
    small = ("e4m3", "e2m3", "e2m1")
    fields = (100, 127, 150)
    for x in (*normal_blocks(rng), *outlier_blocks(rng), *list(tie_blocks(rng, small))[::2],
              *threshold_blocks(rng, fields)):
        x[np.abs(x) == 0] = 0
        if 2.0 ** -100 < amax_of(x) < 2.0 ** 100:
            yield x.reshape(1, 32)
    yield np.zeros((1, 32), np.float32)
    for field in fields:  # just below a power of two
        x = rng.standard_normal(32).astype(np.float32)
        x[3] = from_bits(np.uint32((field << 23) - 1))
        yield np.clip(x, -abs(x[3]), abs(x[3])).reshape(1, 32)


def matrices(rng, rows, cols):
    for exponent in (-30, -14, -3, 0, 9):
        x = np.ldexp(rng.standard_normal((rows, cols)), exponent).astype(np.float32)
        yield x
        yield (x * np.exp2(rng.integers(-12, 4, (rows, cols)))).astype(np.float32)


def ties_of_nvfp4(rng):
    """S = 1 and scales that are powers of two: every tie of E2M1, and blocks far below the others."""
    x = np.zeros((2, 128), np.float32)
    grid = decode_table("e2m1")[:8].astype(np.float64)
    ties = (grid[:-1] + grid[1:]) / 2
    x[0] = (np.resize(ties, 128) * rng.choice([-1, 1], 128)).astype(np.float32)
    x[:, ::16] = 6
    x[0, 0] = 2688
    x[1, 16:32] = 0
    for i, exponent in enumerate((-8, -9, -10, -11, -14)):
        x[1, 32 + 16 * i:48 + 16 * i] = np.ldexp(6 * (0.1 + 0.9 * rng.random(16)), exponent)
    yield x


def write(out, digits, x, producer, profile, element, layout):
    tensor, scales, codes, differs = producer(element, x)
    keyword = "profile-differs" if differs else "profile"
    out.write(f"{keyword} {profile} {layout} {'-' if tensor is None else f'{tensor:08X}'} "
              f"{hexadecimal(scales, digits)} {hexadecimal(codes, 2)}\n")


def write_matrix(out, x):
    out.write(f"matrix {x.shape[0]} {x.shape[1]} {hexadecimal(bits_of(x).ravel(), 8)}\n")


def write_profiles(out, rng):
    mx = ((torchao, "torchao-floor", ALL[:-1]), (microxcaling, "ocp", ALL),
          (compressed_tensors, "compressed-tensors", ("e4m3", "e2m3", "e2m1")),
          (ggml, "ggml", ("e2m1",)), (modelopt, "nvidia", ("e4m3", "e2m1")))
    for x in blocks(rng):
        write_matrix(out, x)
        for producer, profile, elements in mx:
            if amax_of(x) == 0 and profile in ("ocp", "ggml"):
                continue  # log2(0)
            for element in elements:
                write(out, 2, x, producer, profile, element, FORMATS[element])
        write(out, 4, x, ggml, "ggml", "int8", "q8-0")
    for x in (*matrices(rng, 2, 128), *ties_of_nvfp4(rng)):
        write_matrix(out, x)
        write(out, 2, x, modelopt_nvfp4, "nvidia", "e2m1", "nvfp4")
        write(out, 8, x, channel, "-", "e4m3", "fp8-channel")
        write(out, 8, x, deepseek(1, 128), "deepseek", "e4m3", "fp8-group")
    x = np.ldexp(rng.standard_normal((7, 150)), -6).astype(np.float32)
    write_matrix(out, x)
    write(out, 8, x, deepseek(128, 128), "deepseek", "e4m3", "fp8-block")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torchao", required=True, help="a checkout of pytorch/ao")
    parser.add_argument("--microxcaling", required=True, help="a checkout of microxcaling")
    parser.add_argument("--torchao-revision")
    parser.add_argument("--microxcaling-revision")
    options = parser.parse_args()
    import compressed_tensors.quantization  # noqa: F401  these two first: what they import looks for
    import modelopt.torch.quantization  # noqa: F401      an installed torchao, not for a checkout
    sys.path[:0] = [options.torchao, options.microxcaling]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    with open(HERE / "profiles.txt", "w", encoding="ascii") as out:
        versions = [f"torchao {options.torchao_revision or revision(options.torchao)}",
                    f"microxcaling {options.microxcaling_revision or revision(options.microxcaling)}"]
        for package in ("torch", "compressed-tensors", "gguf", "nvidia-modelopt", "ml_dtypes"):
            versions.append(f"{package} {importlib.metadata.version(package)}")
        out.write(f"# By {', '.join(versions)}; deepseek: transcribed\n")
        write_profiles(out, np.random.default_rng(4))


if __name__ == "__main__":
    main()
