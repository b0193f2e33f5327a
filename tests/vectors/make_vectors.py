#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the external test vectors: numbers computed by other projects' own code, never by mxq.

    pip install numpy ml_dtypes torch packaging   (versions used: see the heads of the files)
    git clone https://github.com/pytorch/ao          and
    git clone https://github.com/microsoft/microxcaling
    ./make_vectors.py --torchao ao --microxcaling microxcaling

Writes elements.txt, torchao.txt and microxcaling.txt beside this script; README.md has the format.
"""
import argparse
import math
import pathlib
import subprocess
import sys
import warnings

import ml_dtypes
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ELEMENTS = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}
MAX_CODE = {"e4m3": 0x7E, "e5m2": 0x7B}
MANTISSA_BITS = {"e4m3": 3, "e5m2": 2}
SMALL_ELEMENTS = {"e3m2": ml_dtypes.float6_e3m2fn, "e2m3": ml_dtypes.float6_e2m3fn,
                  "e2m1": ml_dtypes.float4_e2m1fn}
INTEGERS = {"mxint8": 1 / 64, "int8": 1.0}  # what a code counts
MAX_CODE |= {"e3m2": 0x1F, "e2m3": 0x1F, "e2m1": 0x7, "mxint8": 0x7F, "int8": 0x7F}
CODES = {"e3m2": 64, "e2m3": 64, "e2m1": 16}
MODES = ("floor", "ceil", "even", "rceil")


def bits_of(x):
    return np.asarray(x, np.float32).view(np.uint32)


def from_bits(bits):
    return np.asarray(bits, np.uint32).view(np.float32)


def hexadecimal(values, digits):
    return "".join(f"{int(v):0{digits}X}" for v in values)


def decode_table(element):
    if element in INTEGERS:
        return np.arange(256, dtype=np.uint8).view(np.int8) * np.float32(INTEGERS[element])
    dtype = (ELEMENTS | SMALL_ELEMENTS)[element]
    return np.arange(CODES.get(element, 256), dtype=np.uint8).view(dtype).astype(np.float32)


# ---------------------------------------- Element codes: ml_dtypes ----------------------------


def encode_inputs(element, rng):
    """Ties and their neighbours, every code, subnormals, random values."""
    grid = decode_table(element)[: MAX_CODE[element] + 1].astype(np.float64)
    ties = bits_of((grid[:-1] + grid[1:]) / 2)
    largest_tie = bits_of(grid[-1] + (grid[-1] - grid[-2]) / 2)  # would round to a code that is not
    lists = [bits_of(grid), bits_of(grid[1:]) - 1, bits_of(grid) + 1, ties - 1, ties, ties + 1]
    lists.append(rng.integers(0, largest_tie, 300, dtype=np.uint32))
    lists.append(bits_of(np.ldexp(rng.random(300), rng.integers(-20, 9, 300))))
    magnitudes = np.unique(np.concatenate(lists))
    # Beyond the last tie (for E4M3) or from it on (E5M2), ml_dtypes overflows to NaN or infinity.
    magnitudes = magnitudes[magnitudes < largest_tie]
    signs = rng.integers(0, 2, magnitudes.size, dtype=np.uint32) << 31
    return magnitudes | signs


def write_pairs(out, keyword, firsts, seconds, digits):
    pairs = [f"{int(a):0{digits}X}:{b}" for a, b in zip(firsts, seconds)]
    for i in range(0, len(pairs), 8):
        out.write(f"{keyword} {' '.join(pairs[i:i + 8])}\n")


def f32_text(values):
    return ["nan" if math.isnan(v) else f"{int(bits_of(v)):08X}" for v in values]


def write_elements(rng):
    with open(HERE / "elements.txt", "w", encoding="ascii") as out:
        out.write(f"# Element and scale codes by ml_dtypes {ml_dtypes.__version__}\n")
        for element, dtype in ELEMENTS.items():
            write_pairs(out, f"decode {element}", range(256), f32_text(decode_table(element)), 2)
            inputs = encode_inputs(element, rng)
            codes = from_bits(inputs).astype(dtype).view(np.uint8)
            write_pairs(out, f"encode {element}", inputs, [f"{c:02X}" for c in codes], 8)
        scales = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
        write_pairs(out, "scale e8m0", range(256), f32_text(scales), 2)
        for element, dtype in SMALL_ELEMENTS.items():
            table = decode_table(element)
            write_pairs(out, f"decode {element}", range(table.size), f32_text(table), 2)
            inputs = encode_inputs(element, rng)
            codes = from_bits(inputs).astype(dtype).view(np.uint8)
            write_pairs(out, f"encode {element}", inputs, [f"{c:02X}" for c in codes], 8)
        for element, unit in INTEGERS.items():  # numpy's own rounding
            write_pairs(out, f"decode {element}", range(256), f32_text(decode_table(element)), 2)
            inputs = encode_inputs(element, rng)
            codes = np.rint(from_bits(inputs) / np.float32(unit)).astype(np.int8).view(np.uint8)
            write_pairs(out, f"encode {element}", inputs, [f"{c:02X}" for c in codes], 8)


# -------------------------------------------- Blocks ------------------------------------------


def normal_blocks(rng):
    """Blocks as weights have them, at many magnitudes; some representable in BF16 or F16."""
    for exponent in (-120, -60, -20, -8, -5, -3, 0, 1, 4, 12, 40, 100):
        yield from_bits(bits_of(np.ldexp(rng.standard_normal(32), exponent)))
    for exponent in (-100, -9, -6, -4, 0, 3, 30):
        x = np.ldexp(rng.standard_normal(32), exponent)
        yield x.astype(ml_dtypes.bfloat16).astype(np.float32)
    for exponent in (-16, -9, -6, -4, 0, 3, 10):
        yield np.ldexp(rng.standard_normal(32), exponent).astype(np.float16).astype(np.float32)


def outlier_blocks(rng):
    for exponent in (3, 7, 11, 15, 19, 23):
        x = rng.standard_normal(32).astype(np.float32)
        x[rng.integers(32)] = np.ldexp(1 + rng.random(), exponent)
        yield x


def tie_blocks(rng, elements):
    """Midpoints of the element grid and their F32 neighbours, scaled by an exact largest code."""
    for element in elements:
        grid = decode_table(element)[: MAX_CODE[element] + 1].astype(np.float64)
        ties = (grid[:-1] + grid[1:]) / 2
        for exponent in (-40, -7, 0, 9):
            for start in range(0, ties.size, 31):
                chunk = np.resize(ties[start : start + 31], 31)
                bits = bits_of(np.ldexp(chunk, exponent)) + rng.integers(-1, 2, 31).astype(np.uint32)
                x = np.append(from_bits(bits), np.float32(np.ldexp(grid[-1], exponent)))
                yield (x * rng.choice([-1, 1], 32)).astype(np.float32)


def threshold_blocks(rng, exponent_fields):
    """amax at the mantissas where the scale modes change their mind, and one step either side."""
    for field in exponent_fields:
        for mantissa in (0x000001, 0x600000, 0x600001, 0x6FFFFF, 0x700000, 0x77FFFF, 0x780000):
            amax = from_bits(np.uint32(field << 23 | mantissa))
            x = (amax * rng.uniform(-1, 1, 32)).astype(np.float32)
            x[rng.integers(32)] = amax
            yield x


def special_blocks(rng):
    """Zeros, subnormals, the largest F32, NaN and infinity, the exceptions of rceil."""
    yield np.zeros(32, np.float32)
    yield np.where(np.arange(32) % 2, np.float32(-0.0), np.float32(0.0)).astype(np.float32)
    yield from_bits(rng.integers(0, 1 << 23, 32, dtype=np.uint32))
    yield from_bits(np.arange(32, dtype=np.uint32))
    for exception in (0x04600000, 0x04600001, 0x04600002, 0x07E00000, 0x07E00001, 0x07E00002):
        x = from_bits(rng.integers(0, exception, 32, dtype=np.uint32)).copy()
        x[5] = from_bits(np.uint32(exception))
        yield x
    for top in (0x7F000000, 0x7F6FFFFF, 0x7F700000, 0x7F77FFFF, 0x7F780000, 0x7F7FFFFF):
        x = np.ldexp(rng.standard_normal(32), 120).astype(np.float32)
        x[9] = from_bits(np.uint32(top))
        yield x
    for lane, bits in ((0, 0x7F800000), (31, 0xFF800000), (7, 0x7FC00000), (20, 0x7F800001)):
        x = rng.standard_normal(32).astype(np.float32)
        x[lane] = from_bits(np.uint32(bits))
        yield x


def write_block(out, x, results):
    out.write(f"x {hexadecimal(bits_of(x), 8)}\n")
    for element, mode, scale, codes, keyword in results:
        out.write(f"{keyword} {element} {mode} {int(scale):02X} {hexadecimal(codes, 2)}\n")


def revision(folder):
    result = subprocess.run(["git", "-C", folder, "rev-parse", "--short=12", "HEAD"],
                            capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown revision"


# ------------------------------------------- torchao ------------------------------------------


def carries_to_nan(element, mode, x):
    """`even` rounds an amax near the largest F32 up into infinity, and so to scale 255."""
    amax = np.abs(x).max()
    limit = 0x7F800000 - (1 << (22 - MANTISSA_BITS[element]))
    return bool(mode == "even" and np.isfinite(amax) and bits_of(amax) >= limit)


def write_torchao(folder, name, rng):
    sys.path.insert(0, folder)
    import torch
    from torchao.prototype.mx_formats.config import ScaleCalculationMode
    from torchao.prototype.mx_formats.mx_tensor import to_mx

    dtypes = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
    blocks = [*normal_blocks(rng), *outlier_blocks(rng), *tie_blocks(rng, ("e4m3", "e5m2")),
              *threshold_blocks(rng, (20, 100, 127, 200)), *special_blocks(rng)]
    with open(HERE / "torchao.txt", "w", encoding="ascii") as out:
        out.write(f"# Blocks by torchao {name}, to_mx(), with torch {torch.__version__}\n")
        for x in blocks:
            results = []
            for element in dtypes:
                for mode in MODES:
                    scale, codes = to_mx(torch.from_numpy(x.copy()).reshape(1, 32), dtypes[element],
                                         32, ScaleCalculationMode(mode))
                    keyword = "differs" if carries_to_nan(element, mode, x) else "r"
                    results.append((element, mode, scale.view(torch.uint8).item(),
                                    codes.view(torch.uint8).numpy().ravel(), keyword))
            write_block(out, x, results)


# ----------------------------------------- microxcaling ---------------------------------------


def has_log2_error(x):
    """Their exponent is floor(log2(amax)) in F32: one too high just below powers of two."""
    import torch
    amax = float(np.abs(x).max())
    return bool(torch.floor(torch.log2(torch.tensor(amax))).item() != math.frexp(amax)[1] - 1)


def has_half_error(element, x, exponent):
    """They round with floor(x + 0.5), and that sum is 1 for the F32 just below one half."""
    half = np.float32(np.ldexp(float(decode_table(element)[1]) / 2, exponent))
    return bool(np.any(np.abs(x) == np.nextafter(half, np.float32(0))))


def microxcaling_codes(element, quantized, exponent):
    """The codes of the values that their fake quantization returned: exact, or it fails."""
    table = {float(v): c for c, v in enumerate(decode_table(element)) if not math.isnan(v)}
    table[0.0] = 0
    codes = []
    for value in quantized:
        scaled = math.ldexp(float(value), -exponent)
        code = table[abs(scaled)]
        codes.append(code | (0x80 if math.copysign(1.0, scaled) < 0 else 0))
    return codes


def write_microxcaling(folder, name, rng):
    sys.path.insert(0, folder)
    import torch
    from mx.formats import _get_format_params
    from mx.mx_ops import _quantize_mx, _shared_exponents

    blocks = [*normal_blocks(rng), *outlier_blocks(rng), *tie_blocks(rng, ("e4m3", "e5m2")),
              *threshold_blocks(rng, (100, 127, 150))]
    for field in (67, 100, 127, 187):  # just below a power of two
        x = rng.standard_normal(32).astype(np.float32)
        blocks.append(x / np.abs(x).max() * from_bits(np.uint32((field << 23) - 1)))
    with open(HERE / "microxcaling.txt", "w", encoding="ascii") as out:
        out.write(f"# Blocks by microxcaling {name}, _quantize_mx(round='even'), "
                  f"with torch {torch.__version__}\n")
        for x in blocks:
            results = []
            for element in ELEMENTS:
                emax = _get_format_params(f"fp8_{element}")[2]
                tensor = torch.from_numpy(x.copy()).reshape(1, 32)
                exponent = max(int(_shared_exponents(tensor, axes=[1]).item()) - emax, -127)
                quantized = _quantize_mx(tensor.clone(), 8, f"fp8_{element}", axes=[-1],
                                         block_size=32, round="even")
                leaves_contract = has_log2_error(x) or has_half_error(element, x, exponent)
                keyword = "differs" if leaves_contract else "r"
                results.append((element, "floor", exponent + 127,
                                microxcaling_codes(element, quantized.numpy().ravel(), exponent),
                                keyword))
            write_block(out, x, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torchao", required=True, help="a checkout of pytorch/ao")
    parser.add_argument("--microxcaling", required=True, help="a checkout of microxcaling")
    parser.add_argument("--torchao-revision")
    parser.add_argument("--microxcaling-revision")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    write_elements(np.random.default_rng(1))
    write_torchao(options.torchao, options.torchao_revision or revision(options.torchao),
                  np.random.default_rng(2))
    write_microxcaling(options.microxcaling,
                       options.microxcaling_revision or revision(options.microxcaling),
                       np.random.default_rng(3))


if __name__ == "__main__":
    main()
