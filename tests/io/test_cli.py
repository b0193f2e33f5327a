#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the mxq tool from outside: every byte of its output against an independent writing of
the numeric contract, the same bytes on every instruction set and for any number of threads, and a
clear error, with nothing left behind, for whatever is wrong.  Needs nothing but Python.

    python3 test_cli.py MXQ MODEL FAULTS [unittest options]

MXQ is the tool, MODEL the bundled model, FAULTS the module built from faults.c.
"""

import filecmp
import json
import math
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

MXQ, MODEL, FAULTS = map(os.path.abspath, sys.argv[1:4])

OK, FAILED, USAGE, REJECTED, IO, FULL, MEMORY, INTERRUPTED = range(8)
MODES = ["rceil", "floor", "ceil", "even", "ct"]


# -------------------------------- An independent reader and writer --------------------------------

WIDTHS = {"U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "BF16": 2, "F16": 2, "F32": 4, "I64": 8}


def read_safetensors(path):
    """Returns (metadata, {name: (dtype, shape, bytes)}, first byte of the data)."""
    with open(path, "rb") as f:
        blob = f.read()
    (length,) = struct.unpack("<Q", blob[:8])
    header = json.loads(blob[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data, tensors, end = blob[8 + length :], {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        assert begin == end, name
        assert stop - begin == math.prod(entry["shape"]) * WIDTHS[entry["dtype"]], name
        tensors[name] = (entry["dtype"], entry["shape"], data[begin:stop])
        end = stop
    assert end == len(data)
    return metadata, tensors, 8 + length


def write_safetensors(path, tensors, metadata=None, tail=b""):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data + tail)


def bf16(values):
    return b"".join(struct.pack("<f", value)[2:] for value in values)


# -------------------------------------- The numeric contract --------------------------------------

class Float:
    """A floating-point element code, from its definition: sign, exponent and mantissa field."""

    def __init__(self, bits, mantissa_bits, bias, emax, largest):
        self.bits, self.mantissa_bits, self.emax, self.largest = bits, mantissa_bits, emax, largest
        self.smallest_exponent = 1 - bias
        self.sign = 1 << (bits - 1)
        self.nan = 0x7F if bits == 8 else 0
        self.codes = {}
        for code in range(self.sign):
            exponent, mantissa = code >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
            value = mantissa / (1 << mantissa_bits) + (exponent > 0)
            value *= 2.0 ** (max(exponent, 1) - bias)
            if value <= largest:
                self.codes[value] = code
        self.values = {code: value for value, code in self.codes.items()}

    def encode(self, value, rounding=round):
        """Rounds once, from the exact value, to nearest even or as asked, and saturates."""
        sign = self.sign if math.copysign(1, value) < 0 else 0
        magnitude = abs(value)
        if magnitude >= self.largest:
            return sign | self.codes[self.largest]
        exponent = max(math.frexp(magnitude)[1] - 1, self.smallest_exponent)
        step = 2.0 ** (exponent - self.mantissa_bits)
        return sign | self.codes[min(rounding(magnitude / step) * step, self.largest)]

    def decode(self, code):
        return math.copysign(self.values[code & ~self.sign], -1 if code & self.sign else 1)


class Integer:
    """Two's complement codes of 8 bits, in steps of a power of two."""

    def __init__(self, step):
        self.bits, self.step, self.largest, self.nan = 8, step, 127 * step, 0
        self.emax, self.mantissa_bits = math.frexp(self.largest)[1] - 1, 6

    def encode(self, value, rounding=round):
        magnitude = rounding(min(abs(value), self.largest) / self.step)
        return int(math.copysign(magnitude, value)) & 0xFF

    def decode(self, code):
        return (code - 256 if code > 127 else code) * self.step


CODES = {"e4m3": Float(8, 3, 7, 8, 448.0), "e5m2": Float(8, 2, 15, 15, 57344.0),
         "e3m2": Float(6, 2, 3, 4, 28.0), "e2m3": Float(6, 3, 1, 2, 7.5),
         "e2m1": Float(4, 1, 1, 2, 6.0), "mxint8": Integer(2.0**-6), "int8": Integer(1.0)}


ROUNDINGS = {"nearest-even": round, "nearest-away": lambda x: math.floor(x + 0.5),
             "nearest-zero": lambda x: math.ceil(x - 0.5), "toward-zero": math.floor}


def philox(index, seed):
    """The random word of an element: Philox4x32-10 of Salmon et al., 2011."""
    word, mask = [index // 4 % 2**32, index // 4 >> 32, 0, 0], 2**32 - 1
    key = [seed & mask, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * word[0], 0xCD9E8D57 * word[2]
        word = [(b >> 32) ^ word[1] ^ key[0], b & mask, (a >> 32) ^ word[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return word[index % 4]


class Format:
    """A named format: element, scale, block, and the layout of its tensors."""

    def __init__(self, element, scale, block, mode=None, dtype=None, suffix="_scale",
                 method="mxq", kind=None):
        self.element, self.scale, self.block, self.mode = element, scale, block, mode
        self.code = CODES[element]
        packed = self.code.bits < 8
        self.dtype = dtype or ("U8" if packed else "F8_" + element.upper())
        self.elements = ".weight_packed" if packed else ".weight"
        self.scales = ".weight" + suffix
        self.method, self.kind = method, kind

    def takes(self, shape):
        """Rows must be whole blocks where blocks lie in rows."""
        return self.block[0] != 1 or not self.block[1] or shape[1] % self.block[1] == 0


COMPRESSED = {"method": "compressed-tensors"}
FORMATS = {
    "mxfp8": Format("e4m3", "E8M0", (1, 32), "rceil", method="modelopt"),
    "mxfp8-e5m2": Format("e5m2", "E8M0", (1, 32), "rceil"),
    "mxfp6-e2m3": Format("e2m3", "E8M0", (1, 32), "mse"),
    "mxfp6-e3m2": Format("e3m2", "E8M0", (1, 32), "mse"),
    "mxfp4": Format("e2m1", "E8M0", (1, 32), "mse", kind="mxfp4-pack-quantized", **COMPRESSED),
    "nvfp4": Format("e2m1", "E4M3", (1, 16), kind="nvfp4-pack-quantized", **COMPRESSED),
    "mxint8": Format("mxint8", "E8M0", (1, 32), "rceil", "I8"),
    "fp8-tensor": Format("e4m3", "F32", (0, 0), kind="float-quantized", **COMPRESSED),
    "fp8-channel": Format("e4m3", "F32", (1, 0), kind="float-quantized", **COMPRESSED),
    "fp8-group": Format("e4m3", "F32", (1, 128)),
    "fp8-block": Format("e4m3", "F32", (128, 128), suffix="_scale_inv", method="fp8"),
    "int8-tensor": Format("int8", "F32", (0, 0), dtype="I8"),
    "int8-channel": Format("int8", "F32", (1, 0), dtype="I8", kind="int-quantized", **COMPRESSED),
    "q8-0": Format("int8", "F16", (1, 32), dtype="I8"),
}


def scale_code(amax, element, mode):
    """The E8M0 code of a block, from the published definitions of the modes."""
    if amax == 0:
        return 0
    mantissa, exponent = math.frexp(amax)
    mantissa, exponent = 2 * mantissa, exponent - 1
    if exponent < -126:  # the contract counts in F32 fields: exponent field 0, no implicit one
        exponent, mantissa = -127, 1 + amax / 2.0**-126
    up = {"floor": False,
          "ceil": mantissa > 1,
          "rceil": mantissa > element.largest / 2.0**element.emax,
          "even": mantissa >= 2 - 2.0 ** -(element.mantissa_bits + 1),
          "ct": mantissa >= 1.75}[mode]
    return min(max(exponent - element.emax + up + 127, 0), 254)


def decode_values(dtype, content):
    if dtype == "F32":
        return struct.unpack("<%df" % (len(content) // 4), content)
    if dtype == "F16":
        return struct.unpack("<%de" % (len(content) // 2), content)
    halves = struct.unpack("<%dH" % (len(content) // 2), content)
    wide = struct.pack("<%dI" % len(halves), *[half << 16 for half in halves])
    return struct.unpack("<%df" % len(halves), wide)


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def encode_all(code, values, divisor, memory):
    """The codes of values / divisor, a quotient that is rounded to F32 where it is not exact."""
    known = memory.setdefault((id(code), divisor), {})
    exact = math.frexp(divisor)[0] == 0.5
    for value in values:
        if value not in known or value == 0:  # 0 and -0 are the same key
            known[value] = code.encode(value / divisor if exact else f32(value / divisor))
        yield known[value]


def best_code(code, block, memory):
    """The one of two E8M0 codes with the smaller sum of squared errors, in F64."""
    low = scale_code(max(map(abs, block)), code, "floor")
    errors = []
    for scale in [low, min(low + 1, 254)]:
        factor = 2.0 ** (scale - 127)
        coded = encode_all(code, block, factor, memory)
        errors.append(sum((x / factor - code.decode(c)) ** 2 * 4.0 ** (scale - low)
                          for x, c in zip(block, coded)))
    return low + (errors[1] < errors[0])


def quantize_block(format, block, mode, tensor_scale, memory):
    """Returns (codes, the scale's bytes) of the values of one block."""
    code, amax = format.code, max(map(abs, block))
    if format.scale == "E8M0":
        if not all(map(math.isfinite, block)):
            return [code.nan] * len(block), b"\xff"
        mode = mode or format.mode
        scale = best_code(code, block, memory) if mode == "mse" else scale_code(amax, code, mode)
        return list(encode_all(code, block, 2.0 ** (scale - 127), memory)), bytes([scale])
    if format.scale == "E4M3":
        scale = CODES["e4m3"].encode(f32(f32(amax / 6) / tensor_scale))
        divisor = f32(tensor_scale * CODES["e4m3"].decode(scale))
        codes = encode_all(code, block, divisor, memory) if divisor else [
            code.sign * (math.copysign(1, x) < 0) for x in block]
        return list(codes), bytes([scale])
    kind = {"F32": "<f", "F16": "<e"}[format.scale]
    stored = struct.pack(kind, f32(amax / code.largest) if amax else 1.0)
    return list(encode_all(code, block, struct.unpack(kind, stored)[0], memory)), stored


def pack_row(code, codes):
    """Codes as one little-endian number, the first ones lowest."""
    if code.bits == 8:
        return bytes(codes)
    text = "".join(format(c, "0%db" % code.bits) for c in reversed(codes))
    return int(text, 2).to_bytes((len(text) + 7) // 8, "little")


def quantize(dtype, shape, content, format, mode=None, tensor_amax=None, memory={}):
    """Returns the parts of a matrix: [(suffix, dtype, shape, bytes)]."""
    values, (rows, cols) = decode_values(dtype, content), shape
    tall, wide = format.block[0] or rows, format.block[1] or cols
    tensor_scale = f32((tensor_amax or max(map(abs, values))) / 2688) if (
        format.scale == "E4M3") else None
    codes, scales = [[None] * cols for _ in range(rows)], b""
    for top in range(0, rows, tall):
        for left in range(0, cols, wide):
            high, right = min(top + tall, rows), min(left + wide, cols)
            block = [x for r in range(top, high)
                     for x in values[r * cols + left : r * cols + right]]
            coded, scale = quantize_block(format, block, mode, tensor_scale, memory)
            for r in range(top, high):
                codes[r][left:right] = coded[(r - top) * (right - left) :][: right - left]
            scales += scale
    packed = b"".join(pack_row(format.code, row) for row in codes)
    dtypes = {"E8M0": "U8", "E4M3": "F8_E4M3"}
    grid = [1] if format.block == (0, 0) else [-(-rows // tall), -(-cols // wide)]
    parts = [(format.elements, format.dtype, [rows, len(packed) // rows], packed),
             (format.scales, dtypes.get(format.scale, format.scale), grid, scales)]
    if tensor_scale:
        parts.append((".weight_global_scale", "F32", [1], struct.pack("<f", 1 / tensor_scale)))
    return parts


# --------------------------------------------- Tests ----------------------------------------------


MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Test(unittest.TestCase):
    disk = None  # where temporary files usually are; or MEMORY_DISK, where a sync takes no time

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mxq-test-", dir=self.disk)
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def mxq(self, *arguments, **options):
        return subprocess.run([MXQ, *arguments], capture_output=True, text=True, timeout=120,
                              **options)

    def run_ok(self, *arguments):
        done = self.mxq(*arguments)
        self.assertEqual(done.returncode, OK, done.stderr)
        return done.stdout

    def rejects(self, status, code, *arguments, **options):
        """Expects a failure with this status and code, and nothing left in the folder."""
        before = self.tree()
        done = self.mxq(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn("[%s]" % code, done.stderr)
        self.assertEqual(self.tree(), before)
        return done.stderr

    def tree(self):
        return sorted(os.path.join(folder, name) for folder, folders, files in
                      os.walk(self.folder) for name in folders + files)

    def model(self, name="model"):
        """A copy of the bundled model."""
        return shutil.copytree(MODEL, self.path(name))

    def isas(self):
        return [isa["name"] for isa in json.loads(self.run_ok("isa", "--json"))["isas"]
                if isa["available"]]


class Bytes(Test):
    disk = MEMORY_DISK

    def check_contract(self, source, output, name, mode=None, amaxes={}):
        """Every tensor of a file; `amaxes` are those that layers share."""
        _, before, _ = read_safetensors(source)
        metadata, after, data_begin = read_safetensors(output)
        self.assertEqual(data_begin % 4096, 0)
        self.assertEqual(metadata["format"], "pt")
        self.assertEqual(json.loads(metadata["mxq.options"]),
                         {"format": name, "scale": mode or "default", "round": "nearest-even",
                          "nonfinite": "error", "skip": [], "only": []})
        expected = []
        for tensor, (dtype, shape, content) in before.items():
            if tensor.endswith("_proj.weight") and FORMATS[name].takes(shape):
                module = tensor[: -len(".weight")]
                expected += [(module + suffix, *part) for suffix, *part in
                             quantize(dtype, shape, content, FORMATS[name], mode,
                                      amaxes.get(tensor))]
            else:
                expected.append((tensor, dtype, shape, content))
        self.assertGreater(len(expected), len(before))
        expected.sort(key=lambda part: -WIDTHS[part[1]])  # stable: widest first, as in the source
        self.assertEqual([part[0] for part in expected], list(after))
        for tensor, *part in expected:
            self.assertEqual(after[tensor], tuple(part), tensor)

    def shared_amaxes(self, path):
        """amax of each tensor, over those that servers fuse with it."""
        _, tensors, _ = read_safetensors(path)
        groups = [["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"], ["w1", "w3"]]
        amaxes = {}
        for name, (dtype, _, content) in tensors.items():
            path, _, last = name.removesuffix(".weight").rpartition(".")
            group = next((tuple(g) for g in groups if last in g), last)
            members = amaxes.setdefault((path, group), [0, []])
            members[0] = max(members[0], max(map(abs, decode_values(dtype, content))))
            members[1].append(name)
        return {name: amax for amax, names in amaxes.values() for name in names}

    def check_determinism(self, options, source, first):
        """Each instruction set and 1, 2, 7 threads give the same files."""
        for isa in self.isas():
            for threads in ["1", "2", "7"]:
                other = self.path("other")
                self.run_ok("convert", *options, "--quiet", "--isa", isa, "--threads", threads,
                            source, other)
                self.assertEqual(sorted(os.listdir(first)), sorted(os.listdir(other)))
                _, differ, errors = filecmp.cmpfiles(first, other, os.listdir(first),
                                                     shallow=False)
                self.assertEqual((differ, errors), ([], []), (isa, threads))
                shutil.rmtree(other)

    def test_every_scale_mode_is_the_contract(self):
        source = os.path.join(MODEL, "model.safetensors")
        for name in ["mxfp8", "mxfp8-e5m2"]:
            for mode in MODES:
                with self.subTest(format=name, mode=mode):
                    options = ["--format", name, "--scale", mode]
                    first = self.path("%s-%s" % (name, mode))
                    self.run_ok("convert", *options, MODEL, first)
                    self.check_contract(source, os.path.join(first, "model.safetensors"), name,
                                        mode)
                    self.check_determinism(options, MODEL, first)

    def test_every_format_is_the_contract(self):
        source = os.path.join(MODEL, "model.safetensors")
        amaxes = self.shared_amaxes(source)
        listed = self.rejects(USAGE, "USAGE", "convert", "--format", "?", MODEL, self.path("out"))
        self.assertEqual(set(listed.split("expected ")[1].removesuffix(" [USAGE]\n")
                             .replace(" or ", ", ").split(", ")), set(FORMATS))
        for name in FORMATS:
            with self.subTest(format=name):
                first = self.path(name)
                self.run_ok("convert", "--format", name, MODEL, first)
                self.check_contract(source, os.path.join(first, "model.safetensors"), name,
                                    amaxes=amaxes if name == "nvfp4" else {})
                self.check_determinism(["--format", name], MODEL, first)
                self.run_ok("verify", MODEL, first)
                self.assertIn("scheme: " + name, self.run_ok("inspect", first))

    def test_edges_and_long_rows(self):
        """Ragged blocks, many chunks, rows beyond one chunk, and rows that some formats keep."""
        shapes = {"a": (130, 200), "b": (3, 131), "c": (2, 140001), "d": (600, 256), "e": (257, 96)}
        tensors, state = {}, 1
        for i, (name, shape) in enumerate(shapes.items()):
            values = []
            for _ in range(math.prod(shape)):
                state = state * 69069 % 2**32
                values.append(((state >> 24) - 127) * (state >> 20 & 7) / 64)
            kind = ["F32", "F16", "BF16"][i % 3]
            code = {"F32": "<%df", "F16": "<%de"}.get(kind)
            data = struct.pack(code % len(values), *values) if code else bf16(values)
            tensors[name + "_proj.weight"] = (kind, list(shape), data)
        source = self.path("in.safetensors")
        write_safetensors(source, tensors)
        for name in FORMATS:
            with self.subTest(format=name):
                output = self.path(name)
                self.run_ok("convert", "--format", name, "--threads", "3", source, output)
                self.check_contract(source, output, name)
                self.run_ok("verify", "--threads", "2", source, output)
                self.run_ok("verify", "--isa", "scalar", "--threads", "1", source, output)

    def test_every_tensor_is_aligned(self):
        """Whatever order and sizes the source has, for readers that map the file."""
        source = self.path("in.safetensors")
        write_safetensors(source, {
            "a_proj.weight": ("BF16", [3, 33], bf16([0.5] * 99)),
            "b.bias": ("BF16", [3], bf16([1] * 3)),
            "c_proj.weight": ("BF16", [5, 7], bf16([0.5] * 35)), "d": ("I64", [1], b"12345678"),
            "e": ("F32", [1], b"1234")})
        for name in FORMATS:
            self.run_ok("convert", "--force", "--format", name, source, self.path("out"))
            at = 0
            for dtype, _, content in read_safetensors(self.path("out"))[1].values():
                self.assertEqual(at % WIDTHS[dtype], 0)
                at += len(content)

    def test_roundings(self):
        """Ties and what lies around them; stochastic rounding counts the elements of the tensor."""
        steps = [i / 16 for i in range(-120, 121)] + [448.0] + [0.0] * 14
        source, output = self.path("in.safetensors"), self.path("out.safetensors")
        values = steps * 520  # more than one chunk
        write_safetensors(source, {"x_proj.weight": ("BF16", [2, len(values) // 2], bf16(values))})
        code = CODES["e4m3"]
        for rounding, apply in ROUNDINGS.items():
            self.run_ok("convert", "--force", "--scale", "floor", "--round", rounding, source,
                        output)
            scales = read_safetensors(output)[1]["x_proj.weight_scale"][2]
            expected = bytes(code.encode(x / 2.0 ** (scales[i // 32] - 127), apply)
                             for i, x in enumerate(steps))
            found = read_safetensors(output)[1]["x_proj.weight"][2]
            self.assertEqual(found, expected * 520, rounding)
            self.run_ok("verify", source, output)
        seen = set()
        for seed in [0, 1, 2**53]:
            options = ["--scale", "floor", "--round", "stochastic", "--seed", str(seed)]
            for isa in self.isas():
                self.run_ok("convert", "--force", *options, "--isa", isa, "--threads", "3", source,
                            output)
                tensors = read_safetensors(output)[1]
                scales, found = (tensors["x_proj.weight" + end][2] for end in ["_scale", ""])
                for begin in [0, len(values) // 2, 2**17 - 512, len(values) - 512]:
                    for i in range(begin, begin + 512):
                        up = lambda x: math.floor(x) + (
                            math.floor((x - math.floor(x)) * 2**32) + philox(i, seed) >= 2**32)
                        self.assertEqual(found[i], code.encode(
                            values[i] / 2.0 ** (scales[i // 32] - 127), up), (i, seed, isa))
                self.run_ok("verify", source, output)
                seen.add(found)
        self.assertEqual(len(seen), 3)

    def test_profiles(self):
        """Each profile goes with the formats that it knows, and says so of all others."""
        known = {"ocp": 6, "nvidia": 6, "torchao-floor": 5, "compressed-tensors": 3, "ggml": 2,
                 "deepseek": 2}
        for profile, count in known.items():
            done = 0
            for name in FORMATS:
                result = self.mxq("convert", "--force", "--profile", profile, "--format", name,
                                  MODEL, self.path("out"))
                done += result.returncode == OK
                if result.returncode:
                    self.assertEqual(result.returncode, USAGE)
                    self.assertIn("profiles are", result.stderr)
                else:
                    self.run_ok("verify", MODEL, self.path("out"))
            self.assertEqual(done, count, profile)
        self.run_ok("convert", "--profile", "ocp", MODEL, self.path("a"))
        self.run_ok("convert", "--scale", "floor", MODEL, self.path("b"))
        files = [read_safetensors(self.path(n, "model.safetensors"))[1] for n in "ab"]
        self.assertEqual(*files)

    def test_wide_types(self):
        """F32 and F16 sources, subnormals, signed zeros and extremes included."""
        rows = []
        for k in range(64):
            scale = 2.0 ** (k * 4 - 140)
            rows += [scale * (1 + i / 7) * (-1) ** i for i in range(28)]
            rows += [0.0, -0.0, scale, -scale]
        f32 = struct.pack("<%df" % len(rows), *rows)
        f16 = struct.pack("<2048e", *[math.ldexp(1 + i % 1024 / 1024, i // 66 - 24)
                                      for i in range(2048)])
        source, output = self.path("in.safetensors"), self.path("out.safetensors")
        write_safetensors(source, {"a_proj.weight": ("F32", [32, 64], f32),
                                   "b_proj.weight": ("F16", [2, 1024], f16)})
        for mode in MODES:
            for isa in self.isas():
                self.run_ok("convert", "--force", "--scale", mode, "--isa", isa, source, output)
                self.check_contract(source, output, "mxfp8", mode)

    def test_the_header_is_readable_by_offsets(self):
        """A reader that knows nothing but the format finds each tensor where inspect says."""
        self.run_ok("convert", MODEL, self.path("out"))
        found = json.loads(self.run_ok("inspect", "--json", self.path("out")))
        _, tensors, data_begin = read_safetensors(self.path("out", "model.safetensors"))
        self.assertEqual(found["files"][0]["data_begin"], data_begin)
        listed = found["files"][0]["tensors"]
        self.assertEqual([(t["name"], t["dtype"], t["shape"]) for t in listed],
                         [(name, t[0], t[1]) for name, t in tensors.items()])
        self.assertEqual(found["tensors"], len(tensors))
        self.assertEqual(found["scheme"], "mxfp8 (mxq %s)" % self.version())

    def version(self):
        return self.run_ok("--version").split()[1]

    def test_nonfinite(self):
        """By default an error that names tensor and element, whatever the threads."""
        values = [1.0] * (1 << 20)
        values[700001] = math.nan
        values[900000] = math.inf
        source, output = self.path("in.safetensors"), self.path("out.safetensors")
        good = bf16([1.0] * 64)
        write_safetensors(source, {"fine.weight": ("BF16", [2, 32], good),
                                   "x_proj.weight": ("BF16", [1024, 1024], bf16(values)),
                                   "y_proj.weight": ("BF16", [1, 32], bf16([math.inf] * 32))})
        for threads in ["1", "2", "7"]:
            message = self.rejects(REJECTED, "NONFINITE", "convert", "--threads", threads, source,
                                   output)
            self.assertIn("element = 700001 (row 683, column 609)", message)
            self.assertIn('tensor "x_proj.weight"', message)
        self.run_ok("convert", "--nonfinite", "nan", source, output)
        _, tensors, _ = read_safetensors(output)
        parts = quantize("BF16", [1024, 1024], bf16(values), FORMATS["mxfp8"])
        for suffix, *part in parts:
            self.assertEqual(tensors["x_proj" + suffix], tuple(part))
        self.assertEqual(tensors["x_proj.weight_scale"][2].count(255), 2)
        self.run_ok("verify", source, output)
        total = json.loads(self.run_ok("verify", "--json", source, output))["total"]
        self.assertEqual(total["nan"], 96)


    def test_clamped(self):
        values = [1.0, -2.0, math.nan, math.inf, -math.inf, 3.0] + [0.5] * 26
        source, output = self.path("in.safetensors"), self.path("out.safetensors")
        write_safetensors(source, {"x_proj.weight": ("BF16", [1, 32], bf16(values))})
        for name in FORMATS:
            if FORMATS[name].takes([1, 32]):
                self.rejects(REJECTED, "NONFINITE", "convert", "--format", name, source, output)
                self.run_ok("convert", "--format", name, "--nonfinite", "clamp", source, output)
                self.run_ok("verify", source, output)
                tensors = read_safetensors(output)[1]
                _, _, scales = tensors["x_proj" + FORMATS[name].scales]
                self.assertNotEqual(scales[-1], 0xFF, name)
                os.remove(output)
        for name in ["nvfp4", "fp8-tensor", "int8-tensor"]:
            self.assertIn("whole tensor", self.rejects(USAGE, "USAGE", "convert", "--format", name,
                                                       "--nonfinite", "nan", source, output))


class Folders(Test):
    def shard(self, folder, split=2):
        """Cuts the model's file into shards with an index; returns the tensors."""
        path = os.path.join(folder, "model.safetensors")
        _, tensors, _ = read_safetensors(path)
        os.remove(path)
        names, weight_map = list(tensors), {}
        for i in range(split):
            shard = "model-%05d-of-%05d.safetensors" % (i + 1, split)
            part = {name: tensors[name] for name in names[i::split]}
            write_safetensors(os.path.join(folder, shard), part, {"format": "pt"})
            weight_map.update({name: shard for name in part})
        self.write_index(folder, weight_map)
        return tensors

    def write_index(self, folder, weight_map, **metadata):
        with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": metadata, "weight_map": weight_map}, f)

    def read_index(self, folder):
        with open(os.path.join(folder, "model.safetensors.index.json")) as f:
            return json.load(f)

    def read_json(self, *names):
        with open(self.path(*names)) as f:
            return json.load(f)

    def test_configs(self):
        """config.json keeps every byte it had; both files list the layers that were kept."""
        self.run_ok("convert", "--skip", "model.layers.1.mlp.*", MODEL, self.path("out"))
        kept = ["lm_head"] + ["model.layers.1.mlp.%s_proj" % p for p in ["down", "gate", "up"]]
        with open(os.path.join(MODEL, "config.json")) as f:
            source = f.read()
        with open(self.path("out", "config.json")) as f:
            output = f.read()
        cut = source.rstrip().rstrip("}").rstrip()
        self.assertTrue(output.startswith(cut + ",\n  \"quantization_config\": {"))
        self.assertTrue(output.endswith(source[len(cut) :]))
        config = json.loads(output)
        self.assertEqual(config.pop("quantization_config"),
                         {"quant_method": "modelopt", "quant_algo": "MXFP8", "ignore": kept,
                          "producer": {"name": "modelopt", "version": "0.46.0"}})
        self.assertEqual(config, json.loads(source))
        self.assertEqual(self.read_json("out", "hf_quant_config.json"),
                         {"producer": {"name": "modelopt", "version": "0.46.0"},
                          "quantization": {"quant_algo": "MXFP8", "kv_cache_quant_algo": None,
                                           "group_size": 32, "exclude_modules": kept}})

    def test_configs_of_every_format(self):
        dynamic = {"symmetric": True, "dynamic": True}
        fp8, int8 = ({"num_bits": 8, "type": kind, "symmetric": True, "dynamic": False}
                     for kind in ["float", "int"])
        fp4 = {**fp8, "num_bits": 4, "zp_dtype": None}
        groups = {
            "fp8-tensor": ({**fp8, "strategy": "tensor"}, {**fp8, "strategy": "tensor", **dynamic}),
            "fp8-channel": ({**fp8, "strategy": "channel"},
                            {**fp8, "strategy": "token", **dynamic}),
            "int8-channel": ({**int8, "strategy": "channel"},
                             {**int8, "strategy": "token", **dynamic}),
            "mxfp4": ({**fp4, "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"},
                      None),
            "nvfp4": ({**fp4, "strategy": "tensor_group", "group_size": 16,
                       "scale_dtype": "torch.float8_e4m3fn"}, None)}
        kept = ["lm_head", "model.layers.1.mlp.down_proj"]
        for name, format in FORMATS.items():
            self.run_ok("convert", "--format", name, "--skip", "*.1.mlp.down_proj.*", "--only",
                        "*.1.*", MODEL, self.path(name))
            config = self.read_json(name, "config.json")["quantization_config"]
            self.assertEqual(config["quant_method"], format.method)
            self.assertEqual(os.path.exists(self.path(name, "hf_quant_config.json")),
                             name == "mxfp8")
            for key in ["ignore", "ignored_layers", "modules_to_not_convert"]:
                self.assertLessEqual(set(kept), set(config.get(key, kept)))
            if format.kind:
                weights, activations = groups[name]
                self.assertEqual(config["format"], format.kind)
                self.assertEqual(config["config_groups"], {"group_0": {
                    "targets": ["Linear"], "weights": weights, "input_activations": activations,
                    "output_activations": None}})
                self.assertEqual(config["quantization_status"], "compressed")
            elif format.method == "mxq":
                self.assertEqual(config["format"], name)
                self.assertEqual(config["weight_block_size"], list(format.block))
        config = self.read_json("fp8-block", "config.json")["quantization_config"]
        self.assertEqual({k: config[k] for k in ["fmt", "activation_scheme", "weight_block_size"]},
                         {"fmt": "e4m3", "activation_scheme": "dynamic",
                          "weight_block_size": [128, 128]})
        self.assertEqual(config["ignored_layers"], config["modules_to_not_convert"])
        self.assertNotIn("scale_fmt", config)
        self.run_ok("convert", "--format", "fp8-block", "--scale", "rceil", MODEL,
                    self.path("ue8m0"))
        config = self.read_json("ue8m0", "config.json")["quantization_config"]
        self.assertEqual(config["scale_fmt"], "ue8m0")

    def test_fused_layers_share_a_scale(self):
        """Wherever they lie: q/k/v and gate/up have one global scale each, as servers need."""
        model = self.model()
        self.shard(model, 3)
        self.run_ok("convert", "--format", "nvfp4", model, self.path("out"))
        self.run_ok("verify", model, self.path("out"))
        self.run_ok("convert", "--format", "nvfp4", MODEL, self.path("whole"))
        whole = read_safetensors(self.path("whole", "model.safetensors"))[1]
        found = {}
        for i in [1, 2, 3]:
            shard = "model-%05d-of-00003.safetensors" % i
            found.update(read_safetensors(self.path("out", shard))[1])
        self.assertEqual(found, whole)
        scales = {n: t[2] for n, t in whole.items() if n.endswith("global_scale")}
        self.assertEqual(len(scales), 28)
        for layer in range(4):
            for part, names in [("self_attn", "qkv"), ("mlp", ["gate", "up"])]:
                self.assertEqual(len({scales["model.layers.%d.%s.%s_proj.weight_global_scale"
                                             % (layer, part, n)] for n in names}), 1)
        self.assertGreater(len(set(scales.values())), 12)

    def test_e5m2_claims_no_server(self):
        out = self.run_ok("convert", "--format", "mxfp8-e5m2", MODEL, self.path("out"))
        self.assertIn("no server loads", out)
        config = self.read_json("out", "config.json")["quantization_config"]
        self.assertEqual(config["quant_method"], "mxq")
        self.assertNotIn("quant_algo", config)
        self.assertNotIn("hf_quant_config.json", os.listdir(self.path("out")))

    def test_tied_head_and_null_config(self):
        model = self.model()
        path = os.path.join(model, "model.safetensors")
        _, tensors, _ = read_safetensors(path)
        del tensors["lm_head.weight"]
        write_safetensors(path, tensors)
        with open(os.path.join(model, "config.json"), "w") as f:
            f.write(' {"a": 1, "quantization_config": null, "b": {"c": [2.50]}}\n')
        self.run_ok("convert", model, self.path("out"))
        with open(self.path("out", "config.json")) as f:
            text = f.read()
        config = json.loads(text)
        self.assertEqual(config["quantization_config"]["ignore"], ["lm_head"])
        self.assertIn('"b": {"c": [2.50]}}\n', text)

    def test_fused_experts_and_routers_are_listed(self):
        model = self.model()
        block = bf16([0.5] * 64)
        write_safetensors(os.path.join(model, "model.safetensors"),
                          {"model.layers.0.mlp.gate.weight": ("BF16", [2, 32], block),
                           "model.layers.0.mlp.experts.gate_up_proj": ("BF16", [1, 2, 32], block),
                           "model.layers.0.mlp.odd.weight": ("BF16", [4, 16], block),
                           "lm_head.weight": ("BF16", [2, 32], block),
                           "model.layers.0.mlp.up_proj.weight": ("BF16", [2, 32], block)})
        self.run_ok("convert", model, self.path("out"))
        config = self.read_json("out", "config.json")["quantization_config"]
        self.assertEqual(config["ignore"], ["lm_head", "model.layers.0.mlp.experts",
                                            "model.layers.0.mlp.gate", "model.layers.0.mlp.odd"])

    def test_companions_are_copied(self):
        model = self.model()
        os.makedirs(os.path.join(model, "1_Pooling", "deep"))
        os.makedirs(os.path.join(model, "original"))
        os.makedirs(os.path.join(model, ".cache"))
        contents = {"tokenizer.json": "{}", "1_Pooling/deep/config.json": "x", "empty.txt": ""}
        left_out = ["pytorch_model.bin", "original/consolidated.00.pth", ".cache/x",
                    "extra.gguf", "1_Pooling/adapter.safetensors"]
        for name, content in {**contents, **{name: "no" for name in left_out}}.items():
            with open(os.path.join(model, name), "w") as f:
                f.write(content)
        out = self.run_ok("convert", model, self.path("out"))
        self.assertIn("left out", out)
        for name, content in contents.items():
            with open(self.path("out", name)) as f:
                self.assertEqual(f.read(), content)
        for name in left_out:
            self.assertFalse(os.path.exists(self.path("out", name)), name)
        self.assertTrue(filecmp.cmp(os.path.join(MODEL, "eval.bytes"),
                                    self.path("out", "eval.bytes"), shallow=False))
        self.run_ok("verify", model, self.path("out"))
        with open(self.path("out", "tokenizer.json"), "w") as f:
            f.write("[]")
        self.rejects(FAILED, "MISMATCH", "verify", model, self.path("out"))

    def test_modes_follow_the_umask(self):
        old = os.umask(0o027)
        self.addCleanup(os.umask, old)
        self.run_ok("convert", MODEL, self.path("out"))
        self.assertEqual(os.stat(self.path("out")).st_mode & 0o777, 0o750)
        for name in os.listdir(self.path("out")):
            self.assertEqual(os.stat(self.path("out", name)).st_mode & 0o777, 0o640, name)

    def test_sharded(self):
        model = self.model()
        tensors = self.shard(model, 3)
        self.run_ok("convert", model, self.path("out"))
        self.run_ok("verify", model, self.path("out"))
        index = self.read_index(self.path("out"))
        total, seen = 0, {}
        for shard in sorted(set(index["weight_map"].values())):
            _, part, _ = read_safetensors(self.path("out", shard))
            total += sum(len(t[2]) for t in part.values())
            seen.update({name: shard for name in part})
        self.assertEqual(index["weight_map"], seen)
        self.assertEqual(index["metadata"]["total_size"], total)
        self.assertTrue(set(tensors) < set(seen))

    def test_bad_indices(self):
        model = self.model()
        self.shard(model, 2)
        good = self.read_index(model)["weight_map"]
        first = "model-00001-of-00002.safetensors"
        some = next(name for name in good if good[name] == first)
        convert = ["convert", model, self.path("out")]
        for name in ["../x.safetensors", "/etc/x.safetensors", "a/x.safetensors",
                     "a\\x.safetensors", "C:x.safetensors", "..", ".x.safetensors", "",
                     "x\n.safetensors", "x.bin", "x" * 250 + ".safetensors"]:
            self.write_index(model, {**good, some: name})
            self.rejects(REJECTED, "UNSAFE_PATH", *convert)
        self.write_index(model, {**good, some: "model-00009-of-00002.safetensors"})
        self.assertIn("is missing", self.rejects(REJECTED, "BAD_INDEX", *convert))
        self.write_index(model, {**good, "no.such.weight": first})
        self.assertIn("not in its shard", self.rejects(REJECTED, "BAD_INDEX", *convert))
        self.write_index(model, {**good, some: "model-00002-of-00002.safetensors"})
        self.rejects(REJECTED, "BAD_INDEX", *convert)
        self.write_index(model, {})
        self.rejects(REJECTED, "BAD_INDEX", *convert)
        self.write_index(model, {**good, some: 1})
        self.rejects(REJECTED, "BAD_INDEX", *convert)
        index = os.path.join(model, "model.safetensors.index.json")
        with open(index, "w") as f:
            f.write('{"weight_map": {"a": "%s", "\\u0061": "%s"}}' % (first, first))
        self.assertIn("twice", self.rejects(REJECTED, "BAD_INDEX", *convert))
        for text in ["[]", "{", '{"weight_map": {"a": }}', '{"weight_map": [1]}']:
            with open(index, "w") as f:
                f.write(text)
            self.assertEqual(self.mxq(*convert).returncode, REJECTED, text)
        os.truncate(index, (256 << 20) + 1)
        self.rejects(REJECTED, "BAD_INDEX", *convert)
        self.write_index(model, good, total_size=7)
        self.assertIn("total_size = 7", self.run_ok(*convert))

    def test_tensor_in_two_shards(self):
        model = self.model()
        self.shard(model, 2)
        paths = [os.path.join(model, "model-%05d-of-00002.safetensors" % i) for i in [1, 2]]
        _, first, _ = read_safetensors(paths[0])
        _, second, _ = read_safetensors(paths[1])
        second.update([next(iter(first.items()))])
        write_safetensors(paths[1], second)
        self.assertIn("in two shards",
                      self.rejects(REJECTED, "BAD_INDEX", "convert", model, self.path("out")))

    def test_links(self):
        """Links within the folder and into the blobs of its cache are followed, others are not."""
        cache = self.path("cache", "snapshots", "abc")
        blobs = self.path("cache", "blobs")
        os.makedirs(cache)
        os.makedirs(blobs)
        for name in os.listdir(MODEL):
            shutil.copyfile(os.path.join(MODEL, name), os.path.join(blobs, name))
            os.symlink(os.path.join("..", "..", "blobs", name), os.path.join(cache, name))
        self.run_ok("convert", cache, self.path("out"))
        self.run_ok("verify", cache, self.path("out"))
        for name in ["model.safetensors", "config.json", "notes.txt"]:
            model = self.model("linked-" + name)
            path = os.path.join(model, name)
            if os.path.exists(path):
                os.remove(path)
            os.symlink("/etc/passwd", path)
            self.rejects(REJECTED, "UNSAFE_PATH", "convert", model, self.path("no"))

    def test_rejected_folders(self):
        model = self.model()
        out = self.path("out")
        with open(os.path.join(model, "config.json"), "w") as f:
            f.write('{"a": 1, "a": 2}')
        self.rejects(REJECTED, "BAD_CONFIG", "convert", model, out)
        for text in ['{"quantization_config": {"quant_method": "fp8"}}',
                     '{"compression_config": {}}', '{"text_config": {"quantization_config": {}}}']:
            with open(os.path.join(model, "config.json"), "w") as f:
                f.write(text)
            self.rejects(REJECTED, "ALREADY_QUANTIZED", "convert", model, out)
        os.remove(os.path.join(model, "config.json"))
        self.assertIn("no config.json", self.run_ok("convert", model, out))
        self.rejects(REJECTED, "ALREADY_QUANTIZED", "convert", out, self.path("again"))
        os.mkdir(self.path("empty"))
        self.rejects(REJECTED, "NO_WEIGHTS", "convert", self.path("empty"), self.path("no"))


class Verification(Test):
    def setUp(self):
        super().setUp()
        self.out = self.path("out")
        self.run_ok("convert", MODEL, self.out)
        self.weights = os.path.join(self.out, "model.safetensors")

    def flip(self, path, at):
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1]))

    def test_a_flipped_byte_is_found(self):
        _, tensors, at = read_safetensors(self.weights)
        places = {"header differs": 4000}
        for name, (dtype, _, content) in tensors.items():
            what = {"BF16": "kept values", "U8": "scales"}.get(dtype, "elements")
            places["a byte of the %s differs" % what] = at + len(content) // 2
            at += len(content)
        places["a byte of the %s differs" % what] = at - 1
        self.assertEqual(len(places), 4)
        for message, at in places.items():
            self.flip(self.weights, at)
            found = self.rejects(FAILED, "MISMATCH", "verify", MODEL, self.out)
            self.assertIn(message, found)
            self.assertIn("(at byte %d" % at, found)
            report = json.loads(self.mxq("verify", "--json", MODEL, self.out).stdout)
            self.assertFalse(report["identical"])
            self.assertEqual(report["first_difference"]["at"], at)
            self.flip(self.weights, at)
        self.run_ok("verify", MODEL, self.out)
        for name in ["config.json", "hf_quant_config.json", "eval.bytes"]:
            path = os.path.join(self.out, name)
            self.flip(path, 10)
            self.rejects(FAILED, "MISMATCH", "verify", MODEL, self.out)
            self.flip(path, 10)
        os.remove(os.path.join(self.out, "eval.bytes"))
        self.assertIn("missing", self.rejects(FAILED, "MISMATCH", "verify", MODEL, self.out))

    def test_bounds(self):
        self.run_ok("verify", "--min-sqnr", "31", MODEL, self.out)
        message = self.rejects(FAILED, "MISMATCH", "verify", "--min-sqnr", "31.45", MODEL, self.out)
        self.assertIn("SQNR = 31.39 dB, expected at least 31.45", message)
        self.rejects(USAGE, "USAGE", "verify", "--min-sqnr", "much", MODEL, self.out)

    def test_digits_do_not_depend_on_isa_or_threads(self):
        expected = self.run_ok("verify", "--json", "--isa", "scalar", "--threads", "1", MODEL,
                               self.out)
        for isa in self.isas():
            for threads in ["1", "2", "7"]:
                self.assertEqual(self.run_ok("verify", "--json", "--isa", isa, "--threads",
                                             threads, MODEL, self.out), expected)

    def test_numbers_are_right(self):
        """Against sums in exact arithmetic of one tensor."""
        name = "model.layers.2.self_attn.k_proj.weight"
        report = json.loads(self.run_ok("verify", "--json", MODEL, self.out))
        found = next(t for t in report["tensors"] if t["name"] == name)
        _, before, _ = read_safetensors(os.path.join(MODEL, "model.safetensors"))
        _, after, _ = read_safetensors(self.weights)
        x = decode_values("BF16", before[name][2])
        scales = after[name + "_scale"][2]
        y = [CODES["e4m3"].decode(code) * 2.0 ** (scales[i // 32] - 127)
             for i, code in enumerate(after[name][2])]
        signal = math.fsum(a * a for a in x)
        noise = math.fsum((a - b) ** 2 for a, b in zip(x, y))
        cosine = math.fsum(a * b for a, b in zip(x, y)) / math.sqrt(
            signal * math.fsum(b * b for b in y))
        self.assertAlmostEqual(found["sqnr_db"], 10 * math.log10(signal / noise), places=10)
        self.assertAlmostEqual(found["cosine"], cosine, places=13)
        self.assertEqual(found["max_abs_error"], max(abs(a - b) for a, b in zip(x, y)))
        self.assertEqual(found["flushed_to_zero"], sum(a != 0 and b == 0 for a, b in zip(x, y)))
        self.assertEqual(found["elements"], len(x))

    def test_other_outputs(self):
        self.rejects(REJECTED, "NOT_CONVERTED", "verify", MODEL, MODEL)
        self.rejects(USAGE, "USAGE", "verify", MODEL, self.weights)
        os.truncate(self.weights, os.path.getsize(self.weights) - 1)
        self.rejects(REJECTED, "DATA_PAST_EOF", "verify", MODEL, self.out)
        other = self.model("other")
        path = os.path.join(other, "model.safetensors")
        _, tensors, _ = read_safetensors(path)
        tensors.popitem()
        write_safetensors(path, tensors)
        shutil.rmtree(self.out)
        self.run_ok("convert", MODEL, self.out)
        self.rejects(FAILED, "MISMATCH", "verify", other, self.out)


class Comparison(Test):
    """Which format suits which layer, and the choice that follows."""

    def compare(self, *options):
        return json.loads(self.run_ok("compare", "--json", *options))

    def test_digits_do_not_depend_on_isa_or_threads(self):
        expected = self.run_ok("compare", "--json", "--isa", "scalar", "--threads", "1", MODEL)
        for isa in self.isas():
            for threads in ["1", "2", "7"]:
                self.assertEqual(self.run_ok("compare", "--json", "--isa", isa, "--threads",
                                             threads, MODEL), expected)

    def test_numbers_are_those_of_a_conversion(self):
        """Each ratio is what verify finds after convert; the moments are right."""
        report = self.compare(MODEL)
        layers = {layer["name"]: layer for layer in report["layers"]}
        self.assertEqual(len(layers), 28)
        for name in FORMATS:
            out = self.path(name)
            self.run_ok("convert", "--format", name, MODEL, out)
            found = json.loads(self.run_ok("verify", "--json", MODEL, out))
            for tensor in found["tensors"]:
                compared = layers[tensor["name"]]["formats"][name]
                self.assertAlmostEqual(compared["sqnr_db"], tensor["sqnr_db"], places=9)
                self.assertAlmostEqual(compared["cosine"], tensor["cosine"], places=12)
                self.assertEqual(compared["max_abs_error"], tensor["max_abs_error"])
            _, tensors, _ = read_safetensors(os.path.join(out, "model.safetensors"))
            for layer in report["layers"]:
                if name in layer["formats"]:
                    module = layer["name"].removesuffix(".weight")
                    size = sum(len(t[2]) for n, t in tensors.items() if n.startswith(module + "."))
                    self.assertAlmostEqual(layer["formats"][name]["bits_per_weight"],
                                           8 * size / math.prod(layer["shape"]), places=12)
        _, source, _ = read_safetensors(os.path.join(MODEL, "model.safetensors"))
        name = "model.layers.1.self_attn.k_proj.weight"
        x = decode_values(*source[name][::2])
        mean = math.fsum(x) / len(x)
        variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
        fourth = math.fsum((v - mean) ** 4 for v in x) / len(x)
        self.assertAlmostEqual(layers[name]["kurtosis"], fourth / variance**2, places=10)
        rms = math.sqrt(math.fsum(v * v for v in x) / len(x))
        self.assertAlmostEqual(layers[name]["rms"], rms, places=13)
        self.assertEqual(layers[name]["amax"], max(map(abs, x)))
        self.assertAlmostEqual(layers[name]["amax_over_rms"], max(map(abs, x)) / rms, places=10)

    def test_the_best_of_a_size(self):
        report = self.compare(MODEL)
        for layer in report["layers"]:
            for bits, best in layer["best"].items():
                rivals = {n: f["sqnr_db"] for n, f in layer["formats"].items()
                          if FORMATS[n].code.bits == int(bits)}
                self.assertEqual(best, max(rivals, key=rivals.get))
        self.assertEqual(sum(report["total"]["wins"].values()), 3 * 28)
        text = self.run_ok("compare", "--formats", "mxfp8,int8-channel", "--only",
                           "*.q_proj.weight", MODEL)
        self.assertIn("model.layers.*.self_attn.q_proj.weight", text)
        self.assertNotIn("k_proj", text)
        self.assertNotIn("mxfp4", text)
        self.assertIn("*", text)

    def test_outliers_turn_the_tables(self):
        """INT8 is better on even weights, FP8 where a few are large."""
        even = [((i * 37 % 101) - 50) / 64 for i in range(4096)]
        uneven = [v * (300 if i % 509 == 3 else 1) for i, v in enumerate(even)]
        source = self.path("in.safetensors")
        write_safetensors(source, {"even.weight": ("F32", [4, 1024], struct.pack("<4096f", *even)),
                                   "uneven.weight": ("F32", [4, 1024],
                                                     struct.pack("<4096f", *uneven))})
        layers = self.compare("--formats", "fp8-channel,int8-channel", source)["layers"]
        self.assertEqual([layer["best"]["8"] for layer in layers], ["int8-channel", "fp8-channel"])
        self.assertLess(layers[0]["kurtosis"], 3)
        self.assertGreater(layers[1]["kurtosis"], 30)

    def test_auto(self):
        """The smallest format that reaches the bound; what none reaches is kept."""
        report = self.compare(MODEL)
        for bound in [19.0, 20.42, 31.5, 45.3, 99]:
            out = self.path("auto-%s" % bound)
            plan = json.loads(self.run_ok("convert", "--json", "--auto", "--min-sqnr", str(bound),
                                          MODEL, out))
            chosen = {t["name"]: t.get("format") for t in plan["tensors"]}
            reasons = {t["name"]: t.get("reason") for t in plan["tensors"]}
            for layer in report["layers"]:
                fits = [(f["bits_per_weight"], -f["sqnr_db"], n) for n, f in
                        layer["formats"].items() if f["sqnr_db"] >= bound]
                expected = min(fits)[2] if fits else None
                self.assertEqual(chosen[layer["name"]], expected)
                self.assertEqual(reasons[layer["name"]], None if fits else "sqnr")
            self.run_ok("verify", MODEL, out)
            metadata, _, _ = read_safetensors(os.path.join(out, "model.safetensors"))
            self.assertEqual(json.loads(metadata["mxq.formats"]),
                             {n: f for n, f in chosen.items() if f})
            kinds = {f for f in chosen.values() if f}
            with open(os.path.join(out, "config.json")) as f:
                config = json.load(f)["quantization_config"]
            if len(kinds) > 1:
                self.assertEqual((config["quant_method"], config["format"]), ("mxq", "mixed"))
                self.assertEqual({n + ".weight": f for n, f in config["formats"].items()},
                                 json.loads(metadata["mxq.formats"]))
        out = self.path("one")
        self.run_ok("convert", "--auto", "--min-sqnr", "30", "--formats", "fp8-block", MODEL, out)
        with open(os.path.join(out, "config.json")) as f:
            self.assertEqual(json.load(f)["quantization_config"]["quant_method"], "fp8")

    def test_auto_is_the_same_on_every_isa(self):
        options = ["--auto", "--min-sqnr", "20.42", "--quiet"]
        self.run_ok("convert", *options, MODEL, self.path("first"))
        _, first, _ = read_safetensors(self.path("first", "model.safetensors"))
        for isa in self.isas():
            for threads in ["1", "7"]:
                self.run_ok("convert", *options, "--force", "--isa", isa, "--threads", threads,
                            MODEL, self.path("out"))
                self.assertEqual(read_safetensors(self.path("out", "model.safetensors"))[1], first)

    def test_choices_are_checked(self):
        """Choices that were tampered with are differences, or none that are known."""
        source, out = os.path.join(MODEL, "model.safetensors"), self.path("out")
        self.run_ok("convert", "--auto", "--min-sqnr", "30", "--formats", "mxfp8,mxint8", source,
                    out)
        with open(out, "rb") as f:
            content = f.read()
        chosen, bound = b'"mxint8\\"}', b'"min_sqnr\\":30'
        for old, new, status, code in [(chosen, b'"mxfp4\\" }', REJECTED, "NOT_CONVERTED"),
                                       (chosen, b'"mxint8\\",', REJECTED, "NOT_CONVERTED"),
                                       (chosen, b'"mxfp8\\" }', FAILED, "MISMATCH"),
                                       (bound, b'"min_sqnr\\":45', FAILED, "MISMATCH")]:
            self.assertTrue(old in content)
            with open(out, "wb") as f:
                f.write(content.replace(old, new))
            self.rejects(status, code, "verify", source, out)


class Errors(Test):
    def limited(self, bytes):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))
        return {"preexec_fn": limit}

    def test_usage(self):
        for arguments in [[], ["fly"], ["convert"], ["convert", MODEL], ["isa", "x"],
                          ["convert", "--no-such-option", MODEL, self.path("out")],
                          ["convert", "-x", MODEL, self.path("out")],
                          ["convert", "--threads", "0", MODEL, self.path("out")],
                          ["convert", "--threads", "2x", MODEL, self.path("out")],
                          ["convert", "--threads"], ["convert", "--force=1", MODEL, "x"],
                          ["convert", "--format", "e9", MODEL, self.path("out")],
                          ["convert", "--scale=log2", MODEL, self.path("out")],
                          ["convert", "--nonfinite", "0", MODEL, self.path("out")],
                          ["convert", "--round", "up", MODEL, self.path("out")],
                          ["convert", "--profile", "x", MODEL, self.path("out")],
                          ["convert", "--seed", "1", MODEL, self.path("out")],
                          ["convert", "--round", "stochastic", "--seed", "-1", MODEL, "x"],
                          ["convert", "--round", "stochastic", "--seed", str(2**53 + 1), MODEL,
                           "x"],
                          ["convert", "--profile", "ocp", "--scale", "floor", MODEL, "x"],
                          ["convert", "--profile", "ggml", MODEL, self.path("out")],
                          ["convert", "--format", "nvfp4", "--scale", "floor", MODEL, "x"],
                          ["convert", "--format", "fp8-block", "--scale", "ct", MODEL, "x"],
                          ["convert", "--auto", MODEL, self.path("out")],
                          ["convert", "--min-sqnr", "30", MODEL, self.path("out")],
                          ["convert", "--formats", "mxfp8", MODEL, self.path("out")],
                          ["convert", "--auto", "--min-sqnr", "much", MODEL, self.path("out")],
                          ["convert", "--auto", "--min-sqnr", "9", "--formats", "x,mxfp8", MODEL,
                           "x"],
                          ["convert", "--auto", "--min-sqnr", "9", "--formats", "", MODEL, "x"],
                          ["convert", "--auto", "--min-sqnr", "9", "--format", "mxfp8", MODEL, "x"],
                          ["convert", "--auto", "--min-sqnr", "9", "--scale", "ct", MODEL, "x"],
                          ["compare"], ["compare", "--formats", "mxfp9", MODEL],
                          ["compare", "--nonfinite", "nan", MODEL], ["compare", MODEL, MODEL],
                          ["convert", "--isa", "mmx", MODEL, self.path("out")],
                          ["verify", "--isa", "mmx", MODEL, MODEL], ["isa", "--isa", "mmx"],
                          ["convert", MODEL, self.path("out"), "more"],
                          ["convert", MODEL, "/"], ["convert", MODEL, self.path("..")]]:
            with self.subTest(arguments=arguments):
                self.rejects(USAGE, "USAGE", *arguments)

    def test_help(self):
        for arguments in [["--help"], ["convert", "--help"], ["verify", "-h"],
                          ["inspect", "--help"], ["compare", "--help"], ["isa", "--help"]]:
            out = self.run_ok(*arguments)
            self.assertIn("Usage: mxq", out)
            self.assertIn("Example", out)

    def test_existing_outputs(self):
        out = self.path("out")
        source = os.path.join(MODEL, "model.safetensors")
        with open(out, "w") as f:
            f.write("precious")
        self.rejects(USAGE, "EXISTS", "convert", source, out)
        self.rejects(USAGE, "EXISTS", "convert", "--force", MODEL, out)
        self.run_ok("convert", "--force", source, out)
        self.assertEqual(read_safetensors(out)[0]["format"], "pt")
        os.mkdir(self.path("folder"))
        self.rejects(USAGE, "EXISTS", "convert", source, self.path("folder"))
        self.rejects(USAGE, "EXISTS", "convert", "--force", source, self.path("folder"))
        self.rejects(USAGE, "EXISTS", "convert", MODEL, self.path("folder"))
        self.run_ok("convert", "--force", MODEL, self.path("folder"))  # it was empty
        with open(self.path("folder", "old"), "w") as f:
            f.write("old")
        self.run_ok("convert", "--force", "--format", "mxfp8-e5m2", MODEL, self.path("folder"))
        self.assertNotIn("old", os.listdir(self.path("folder")))
        self.assertEqual(sorted(os.listdir(self.folder)), ["folder", "out"])
        mine = self.model("mine")
        self.rejects(USAGE, "EXISTS", "convert", "--force", MODEL, mine)

    def test_output_within_source(self):
        model = self.model()
        for output in [model, model + "/", os.path.join(model, "out"),
                       os.path.join(model, "..", "model", "out"), self.folder]:
            self.rejects(USAGE, "SAME_PLACE", "convert", "--force", model, output)
        source = os.path.join(model, "model.safetensors")
        self.rejects(USAGE, "SAME_PLACE", "convert", "--force", source, source)
        os.link(source, self.path("link.safetensors"))
        self.rejects(USAGE, "SAME_PLACE", "convert", "--force", source,
                     self.path("link.safetensors"))

    def test_missing_and_unreadable(self):
        source = os.path.join(MODEL, "model.safetensors")
        self.rejects(IO, "NOT_FOUND", "convert", self.path("none"), self.path("out"))
        self.rejects(IO, "NOT_FOUND", "convert", source, self.path("none", "out"))
        self.rejects(IO, "NOT_FOUND", "inspect", self.path("none"))
        self.rejects(IO, "NOT_FOUND", "convert", source, "/proc/out")  # even root cannot
        self.rejects(IO, "NOT_FOUND", "convert", MODEL, "/proc/out")
        self.rejects(REJECTED, "NOT_REGULAR", "inspect", "/dev/null")
        model = self.model()
        os.remove(os.path.join(model, "model.safetensors"))
        os.mkdir(os.path.join(model, "model.safetensors"))
        self.rejects(REJECTED, "NO_WEIGHTS", "convert", model, self.path("out"))
        if os.getuid():
            os.mkdir(self.path("locked"), 0o555)
            self.rejects(IO, "SYSTEM", "convert", source, self.path("locked", "out"))

    def test_a_folder_where_a_shard_should_be(self):
        model = self.model()
        name = "model-00001-of-00001.safetensors"
        os.rename(os.path.join(model, "model.safetensors"), os.path.join(model, "gone"))
        os.mkdir(os.path.join(model, name))
        with open(os.path.join(model, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {}, "weight_map": {"lm_head.weight": name}}, f)
        self.rejects(REJECTED, "NOT_REGULAR", "convert", model, self.path("out"))

    def test_malformed_files(self):
        path = self.path("in.safetensors")
        block = bf16([1.0] * 32)
        cases = {"TRUNCATED_HEADER": b"abc", "HEADER_PAST_EOF": struct.pack("<Q", 99) + b"{}",
                 "UNSUPPORTED_PICKLE": b"PK\3\4" + b"\24" * 99, "LFS_POINTER":
                 b"version https://git-lfs.github.com/spec/v1\n", "BAD_JSON":
                 struct.pack("<Q", 2) + b"{]"}
        for code, content in cases.items():
            with open(path, "wb") as f:
                f.write(content)
            for command in [["inspect", path], ["convert", path, self.path("out")],
                            ["verify", path, path]]:
                message = self.rejects(REJECTED, code, *command)
                self.assertIn(path + ": ", message)
        write_safetensors(path, {"a": ("BF16", [32], block)}, tail=b"x")
        self.rejects(REJECTED, "TRAILING_BYTES", "inspect", path)
        report = json.loads(self.mxq("inspect", "--json", path).stdout)
        self.assertEqual(report["error"]["code"], "TRAILING_BYTES")
        write_safetensors(path, {"a\x1b[2J": ("BF16", [32], block)})
        self.assertNotIn("\x1b", self.run_ok("inspect", path))
        self.assertNotIn("\x1b", self.run_ok("convert", path, self.path("out")))

    def test_full_disk(self):
        """At every size where writing may stop: status 5, and nothing is left."""
        source = os.path.join(MODEL, "model.safetensors")
        size = 901888
        for bytes in list(range(0, size, 65536)) + [size - 1]:
            self.rejects(FULL, "NO_SPACE", "convert", "--quiet", "--threads", "2", source,
                         self.path("out"), **self.limited(bytes))
        self.rejects(FULL, "NO_SPACE", "convert", "--quiet", MODEL, self.path("out"),
                     **self.limited(100000))
        self.run_ok("convert", source, self.path("out"))
        self.assertEqual(os.path.getsize(self.path("out")), size)

    def test_full_disk_keeps_the_old_output(self):
        source = os.path.join(MODEL, "model.safetensors")
        for arguments in [[source, self.path("file")], [MODEL, self.path("folder")]]:
            self.run_ok("convert", *arguments)
            self.rejects(FULL, "NO_SPACE", "convert", "--force", *arguments,
                         **self.limited(300000))
            self.run_ok("verify", *arguments)

    def test_full_filesystem(self):
        mount = self.path("mount")
        os.mkdir(mount)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", mount],
                          capture_output=True).returncode:
            self.skipTest("cannot mount a tmpfs here")
        try:
            for arguments in [[os.path.join(MODEL, "model.safetensors")], [MODEL]]:
                self.rejects(FULL, "NO_SPACE", "convert", *arguments, os.path.join(mount, "out"))
        finally:
            subprocess.run(["umount", mount], check=True)

    def test_full_standard_output(self):
        for arguments in [["inspect", MODEL], ["isa"], ["--help"], ["convert", "--help"],
                          ["--version"]]:
            with open("/dev/full", "w") as full:
                done = subprocess.run([MXQ, *arguments], stdout=full, stderr=subprocess.PIPE,
                                      text=True)
            self.assertEqual(done.returncode, FULL, arguments)
            self.assertIn("[NO_SPACE]", done.stderr)

    def test_interrupt(self):
        """Ctrl-C in the middle: status 7, and nothing is left; the old output stays."""
        big = self.path("big.safetensors")
        rows = 1 << 20
        write_safetensors(big, {"x.weight": ("F32", [rows, 4096], b"")})
        with open(big, "rb") as f:
            text = f.read()[8:].replace(b"[0, 0]", b"[0, %d]" % (rows * 4096 * 4))
        with open(big, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            f.truncate(8 + len(text) + rows * 4096 * 4)  # 16 GB of holes
        os.mkdir(self.path("model"))
        os.link(big, self.path("model", "model.safetensors"))
        os.mkdir(self.path("to"))
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

        def listen():  # a shell that starts tests in the background has them ignored
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)

        for number in numbers:
            for source in [big, self.path("model")]:
                running = subprocess.Popen([MXQ, "convert", "--threads", "2", source,
                                            self.path("to", "out")], stderr=subprocess.PIPE,
                                           preexec_fn=listen)
                while not os.listdir(self.path("to")) and running.poll() is None:
                    time.sleep(0.002)
                running.send_signal(number)
                _, message = running.communicate(timeout=60)
                self.assertEqual(running.returncode, INTERRUPTED, message)
                self.assertIn(b"[INTERRUPTED]", message)
                self.assertEqual(os.listdir(self.path("to")), [])


class Faults(Test):
    """Each file call goes wrong in turn: what is at the output's name is always whole."""

    disk = MEMORY_DISK

    def convert(self, kind, at, *arguments):
        log = self.path("log")
        if os.path.exists(log):
            os.remove(log)
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        done = self.mxq("convert", "--quiet", "--threads", "1", *arguments, env={
            **os.environ, "LD_PRELOAD": FAULTS, "MXQ_FAULT_LOG": log, "MXQ_FAULT_KIND": kind,
            "MXQ_FAULT_AT": str(at), "ASAN_OPTIONS": sanitizer})
        with open(log) as f:
            return done, f.read().split()

    def content(self, path):
        if not os.path.isdir(path):
            with open(path, "rb") as f:
                return f.read()
        return {name: self.content(os.path.join(path, name)) for name in os.listdir(path)}

    def check(self, source, force):
        to, out = self.path("to"), self.path("to", "out")
        os.mkdir(to)
        options = ["--force"] if force else []
        self.run_ok("convert", "--format", "mxfp8-e5m2", source, self.path("old"))
        self.run_ok("convert", source, self.path("new"))
        old, new = self.content(self.path("old")), self.content(self.path("new"))
        kinds = {"eio": [OK, IO], "enospc": [OK, FULL], "eintr": [OK], "short": [OK]}
        for kind, statuses in list(kinds.items())[: 1 if force else 4]:
            for at in range(1, 1000):
                if force and os.path.isdir(source):
                    shutil.copytree(self.path("old"), out)
                elif force:
                    shutil.copyfile(self.path("old"), out)
                done, log = self.convert(kind, at, *options, source, out)
                self.assertIn(done.returncode, statuses, (kind, at, log[at - 1 :], done.stderr))
                found = os.listdir(to)
                whole = [new] if not done.returncode else [old, new] if force else [new]
                if done.returncode and not force:
                    self.assertIn(found, [[], ["out"]])
                elif log[at - 1 : at] == ["fsync"] and done.returncode:
                    # After the exchange, the old folder may be left aside.
                    self.assertIn("out", found)
                    for name in set(found) - {"out"}:
                        self.assertEqual(self.content(os.path.join(to, name)), old)
                else:
                    self.assertEqual(found, ["out"], (kind, at, log[at - 1 :]))
                if "out" in found:
                    self.assertIn(self.content(out), whole, (kind, at))
                for name in found:
                    path = os.path.join(to, name)
                    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
                if len(log) < at:
                    break
            self.assertGreater(at, 100)

    def test_file(self):
        self.check(os.path.join(MODEL, "model.safetensors"), False)

    def test_file_replaced(self):
        self.check(os.path.join(MODEL, "model.safetensors"), True)

    def test_folder(self):
        self.check(MODEL, False)

    def test_folder_replaced(self):
        self.check(MODEL, True)

    def test_the_output_is_on_disk_before_it_appears(self):
        files = len(os.listdir(MODEL)) + 1  # hf_quant_config.json
        for source, syncs in [(os.path.join(MODEL, "model.safetensors"), 2), (MODEL, files + 2)]:
            _, log = self.convert("eio", 0, source, self.path("out-%d" % syncs))
            self.assertEqual(log[-2:], ["renameat2", "fsync"])
            self.assertEqual(log.count("renameat2"), 1)
            self.assertEqual(log.count("fsync"), syncs)
            last = len(log) - 1 - log[::-1].index("pwrite")
            self.assertIn("fsync", log[last:-2])


class Options(Test):
    def test_skip_and_only(self):
        source = os.path.join(MODEL, "model.safetensors")
        for options, expected in [
                (["--only", "*.q_proj.weight"], lambda n: n.endswith("q_proj.weight")),
                (["--skip", "*.layers.0.*", "--skip", "*up_proj*"],
                 lambda n: ".layers.0." not in n and "up_proj" not in n),
                (["--only", "*layers.1.*", "--skip", "*mlp*"],
                 lambda n: ".layers.1." in n and "mlp" not in n)]:
            self.run_ok("convert", "--force", *options, source, self.path("out"))
            _, tensors, _ = read_safetensors(self.path("out"))
            quantized = {name for name, t in tensors.items() if t[0] == "F8_E4M3"}
            self.assertEqual(quantized, {n for n in tensors
                                         if n.endswith("_proj.weight") and expected(n)})
            self.run_ok("verify", source, self.path("out"))

    def test_json_and_dry_run(self):
        report = json.loads(self.run_ok("convert", "--json", "--dry-run", MODEL, self.path("out")))
        self.assertEqual(os.listdir(self.folder), [])
        self.assertFalse(report["written"])
        self.assertEqual((report["quantized"], report["kept"]), (28, 11))
        reasons = {t["name"]: t.get("reason") for t in report["tensors"]}
        self.assertEqual(reasons["lm_head.weight"], "head")
        self.assertEqual(reasons["model.embed_tokens.weight"], "embedding")
        self.assertEqual(reasons["model.norm.weight"], "norm")
        self.assertIsNone(reasons["model.layers.0.mlp.up_proj.weight"])
        written = json.loads(self.run_ok("convert", "--json", MODEL, self.path("out")))
        self.assertEqual(written["tensors"], report["tensors"])
        self.assertEqual(written["output_bytes"], report["output_bytes"])

    def test_quiet(self):
        done = self.mxq("convert", "--quiet", MODEL, self.path("out"))
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("", "", OK))
        done = self.mxq("verify", "--quiet", MODEL, self.path("out"))
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("", "", OK))

    def test_mixed_fused_layers_are_noted(self):
        out = self.run_ok("convert", "--skip", "*.2.*.k_proj.weight", MODEL, self.path("out"))
        self.assertIn("servers fuse q/k/v", out)
        self.assertIn("model.layers.2.self_attn.q_proj.weight", out)

    def test_isa(self):
        report = json.loads(self.run_ok("isa", "--json"))
        for isa in report["isas"]:
            self.assertEqual(isa["available"], not isa["missing"])
        for isa in self.isas():
            self.assertIn("*" + isa, self.run_ok("isa", "--isa", isa))
            done = self.mxq("isa", env={**os.environ, "MXQ_ISA": isa})
            self.assertIn("*" + isa, done.stdout)

    def test_progress_on_a_terminal(self):
        source, end = os.openpty()
        done = subprocess.run([MXQ, "convert", MODEL, self.path("out")], stderr=end,
                              stdout=subprocess.DEVNULL)
        os.close(end)
        text = b""
        try:
            while chunk := os.read(source, 4096):
                text += chunk
        except OSError:  # how a terminal says that it is closed
            pass
        os.close(source)
        self.assertEqual(done.returncode, OK)
        self.assertIn(b"% ", text)
        self.assertTrue(text.endswith(b"\r\x1b[K"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
