#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of mxq-llama from outside: the bits per byte that the model is known to need, the same
digits on every instruction set, for any number of threads and any batch, and a clear error for what
is wrong.

    python3 test_llama.py MXQ_LLAMA MXQ MODEL [unittest options]

MXQ_LLAMA is the program, MXQ the tool, MODEL the bundled model.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

LLAMA, MXQ, MODEL = map(os.path.abspath, sys.argv[1:4])
TEXT = os.path.join(MODEL, "eval.bytes")

OK, REJECTED, USAGE = range(3)


def run(*arguments):
    return subprocess.run([LLAMA, *arguments], capture_output=True, check=False)


def run_json(*arguments):
    """Runs one thread unless told otherwise: the tests may run beside others."""
    threads = [] if "--threads" in arguments else ["--threads", "1"]
    done = run(*arguments, *threads, "--json")
    assert done.returncode == OK, done.stderr
    return json.loads(done.stdout)


def bits(*options, model=MODEL, windows=1):
    """Bits per byte, all digits."""
    limit = ["--windows", str(windows)] if windows else []
    return run_json("eval", model, "--text", TEXT, *limit, *options)["bits_per_byte"]


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def write_file(path, content):
    with open(path, "wb") as f:
        f.write(content)


def read_safetensors(path):
    blob = read_file(path)
    (length,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + length]), blob[8 + length :]


def safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Temporary(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def copy(self):
        """A copy of the model, to change."""
        path = self.path("model")
        shutil.copytree(MODEL, path)
        for name in os.listdir(path):
            os.chmod(os.path.join(path, name), 0o644)
        return path


class Digits(Temporary):
    def test_f32_needs_the_published_bits(self):
        self.assertAlmostEqual(bits("--weights", "f32", windows=None), 1.15074, delta=1e-4)

    def test_mxfp8_needs_few_more(self):
        plain = bits("--weights", "f32", windows=4)
        for activations in ["f32", "bf16", "mxfp8"]:
            for element, more in [("e4m3", 0.02), ("e5m2", 0.06)]:
                with self.subTest(activations=activations, element=element):
                    quantized = bits("--activations", activations, "--element", element, windows=4)
                    self.assertNotEqual(quantized, plain)
                    self.assertAlmostEqual(quantized, plain, delta=more)

    def test_instruction_sets_threads_and_batches_change_nothing(self):
        shown = subprocess.run([MXQ, "isa", "--json"], capture_output=True, check=True).stdout
        names = [row["name"] for row in json.loads(shown)["isas"] if row["available"]]
        self.assertIn("scalar", names)
        for activations in ["f32", "bf16", "mxfp8"]:
            options = ["--activations", activations]
            expected = bits(*options)
            for other in [["--isa", name] for name in names] + [
                    ["--threads", "2"], ["--batch", "100"]]:
                with self.subTest(activations=activations, other=other):
                    self.assertEqual(bits(*options, *other), expected)
        for weights in ["f32", "bf16"]:
            self.assertEqual(bits("--weights", weights),
                             bits("--weights", weights, "--threads", "2", "--batch", "99"))

    def test_a_converted_model_is_the_same(self):
        for element, scale, name in [("e4m3", "rceil", "mxfp8"), ("e5m2", "floor", "mxfp8-e5m2")]:
            with self.subTest(element=element, scale=scale):
                converted = self.path(element)
                options = ["--element", element, "--scale", scale]
                subprocess.run([MXQ, "convert", "--quiet", "--format", name, "--scale", scale,
                                MODEL, converted], check=True)
                for activations in ["bf16", "mxfp8"]:
                    rounded = ["--activations", activations]
                    self.assertEqual(bits("--scale", scale, *rounded, model=converted),
                                     bits(*options, *rounded))

    def test_kept_layers_stay_plain(self):
        converted = self.path("kept")
        only = ["--only", "*.down_proj.weight"]
        subprocess.run([MXQ, "convert", "--quiet", *only, MODEL, converted], check=True)
        self.assertNotIn(bits(model=converted), [bits(), bits("--weights", "bf16")])

    def test_shards_are_the_same(self):
        model = self.copy()
        single = os.path.join(model, "model.safetensors")
        header, data = read_safetensors(single)
        header.pop("__metadata__")
        os.remove(single)
        weight_map = {}
        for shard in range(2):
            part, content = {}, b""
            for name, entry in list(header.items())[shard::2]:
                begin, end = entry["data_offsets"]
                part[name] = dict(entry, data_offsets=[len(content), len(content) + end - begin])
                content += data[begin:end]
                weight_map[name] = f"part-{shard}.safetensors"
            write_file(os.path.join(model, f"part-{shard}.safetensors"), safetensors(part, content))
        index = os.path.join(model, "model.safetensors.index.json")
        write_file(index, json.dumps({"weight_map": weight_map}).encode())
        self.assertEqual(bits(model=model), bits())


class Generate(unittest.TestCase):
    def tokens(self, *options):
        return run_json("generate", MODEL, "--prompt", "The ", "--tokens", "40", *options)["tokens"]

    def test_text_follows_the_prompt(self):
        done = run("generate", MODEL, "--prompt", "The ", "--tokens", "40")
        self.assertEqual(done.stdout, b"The " + bytes(self.tokens()) + b"\n")

    def test_batches_change_nothing(self):
        self.assertEqual(self.tokens("--batch", "1"), self.tokens("--threads", "2"))

    def test_a_seed_repeats(self):
        hot = ["--temperature", "1", "--seed"]
        self.assertEqual(self.tokens(*hot, "7"), self.tokens(*hot, "7", "--threads", "2"))
        self.assertNotEqual(self.tokens(*hot, "7"), self.tokens(*hot, "8"))

    def test_the_whole_context_can_be_filled(self):
        self.assertEqual(
            len(run_json("generate", MODEL, "--prompt", "a" * 500, "--tokens", "12")["tokens"]), 12)


class Bench(unittest.TestCase):
    def test_speeds(self):
        for weights in ["f32", "mxfp8"]:
            speeds = run_json("bench", MODEL, "--weights", weights)
            self.assertGreater(speeds["prefill_tokens_per_second"], 0)
            self.assertGreater(speeds["decode_tokens_per_second"], 0)


class Errors(Temporary):
    def rejects(self, status, words, *arguments):
        done = run(*arguments)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, status, message)
        self.assertTrue(message.startswith("mxq-llama: ") and message.count("\n") == 1, message)
        self.assertIn(words, message)
        self.assertEqual(done.stdout, b"")

    def rejects_model(self, words, model):
        self.rejects(REJECTED, words, "eval", model, "--text", TEXT, "--windows", "1")

    def test_usage(self):
        for words, arguments in [
                ("which command", []),
                ("unknown command", ["train", MODEL]),
                ("--text", ["eval", MODEL]),
                ("--prompt", ["generate", MODEL]),
                ("--wrong", ["bench", MODEL, "--wrong"]),
                ("--threads", ["bench", MODEL, "--threads", "0"]),
                ("--tokens needs a value", ["generate", MODEL, "--tokens"]),
                ("rceil, floor", ["bench", MODEL, "--scale", "nearest"]),
                ("scalar", ["bench", MODEL, "--isa", "avx1024"]),
                ("context", ["generate", MODEL, "--prompt", "a" * 500, "--tokens", "13"]),
        ]:
            with self.subTest(arguments=arguments):
                self.rejects(USAGE, words, *arguments)

    def test_a_text_must_fill_a_window(self):
        write_file(self.path("text"), b"a" * 512)
        self.rejects(REJECTED, "513", "eval", MODEL, "--text", self.path("text"))
        write_file(self.path("text"), read_file(TEXT)[: 513 + 512])
        last = run_json("eval", MODEL, "--text", self.path("text"))
        self.assertEqual((last["windows"], last["bits_per_byte"]), (1, bits()))

    def test_a_converted_model_has_no_other_weights(self):
        converted = self.path("converted")
        subprocess.run([MXQ, "convert", "--quiet", MODEL, converted], check=True)
        for option in [["--weights", "f32"], ["--weights", "bf16"], ["--element", "e5m2"]]:
            self.rejects(USAGE, option[0], "bench", converted, *option)

    def test_configs(self):
        model = self.copy()
        path = os.path.join(model, "config.json")
        config = json.loads(read_file(path))
        for field, value in [
                ("model_type", "mamba"), ("hidden_act", "gelu"), ("attention_bias", True),
                ("hidden_size", 0), ("hidden_size", 1 << 40), ("hidden_size", 64),
                ("num_hidden_layers", 5), ("num_key_value_heads", 3), ("head_dim", 31),
                ("vocab_size", 255), ("rms_norm_eps", "x"), ("max_position_embeddings", 100),
                ("rope_parameters", {"rope_type": "llama3", "rope_theta": 1e4})]:
            with self.subTest(field=field, value=value):
                write_file(path, json.dumps(dict(config, **{field: value})).encode())
                self.rejects_model("", model)
        write_file(path, b"[]")
        self.rejects_model("config.json: bad JSON", model)
        os.remove(path)
        self.rejects_model("config.json: cannot open", model)

    def test_headers(self):
        model = self.copy()
        path = os.path.join(model, "model.safetensors")
        header, data = read_safetensors(path)
        name = "model.layers.1.mlp.up_proj.weight"

        def changed(**fields):
            return safetensors(dict(header, **{name: dict(header[name], **fields)}), data)

        begin, end = header[name]["data_offsets"]
        without = {key: entry for key, entry in header.items() if key != name}
        nan = bytearray(data)
        nan[begin + 256 + 6 : begin + 256 + 8] = b"\xc0\x7f"
        for words, content in [
                ("header length", b""),
                ("header length", b"\xff" * 8),
                ("header length", struct.pack("<Q", 1000) + b"{}"),
                ("bad JSON", safetensors(b"{", b"")),
                ("bad JSON", safetensors(b"[]", b"")),
                ("bad JSON", safetensors(b"[" * 100000, b"")),
                ("bad JSON", safetensors(b'{"a":1,"a":2}', b"")),
                ("dtype", safetensors(b'{"a":1}', b"")),
                ("missing", safetensors(without, data)),
                ("dtype", changed(dtype="F7")),
                ("dtype", changed(dtype="F16")),
                ("dtype", changed(dtype=16)),
                ("shape", changed(shape=[128, 352])),
                ("shape", changed(shape=[352 * 128])),
                ("shape", changed(shape=[1 << 32, 1 << 31])),
                ("shape", changed(shape=[352, -128])),
                ("shape", changed(shape=[1.5])),
                ("shape", changed(shape=[1] * 9)),
                ("shape", changed(shape=None)),
                ("data_offsets", changed(data_offsets=[end, begin])),
                ("data_offsets", changed(data_offsets=[begin, end + 2])),
                ("data_offsets", changed(data_offsets=[len(data), len(data) + end - begin])),
                ("data_offsets", changed(data_offsets=[-1, end])),
                ("data_offsets", changed(data_offsets=[begin])),
                ("data_offsets", safetensors(header, data[:-1])),
                ("[1, 3]", safetensors(header, bytes(nan))),
        ]:
            with self.subTest(words=words, content=content[:64]):
                write_file(path, content)
                self.rejects_model(words, model)

    def test_indexes(self):
        model = self.copy()
        index = os.path.join(model, "model.safetensors.index.json")
        for words, weight_map in [
                ("weight_map", {}),
                ("plain file name", {"lm_head.weight": "../model.safetensors"}),
                ("plain file name", {"lm_head.weight": 1}),
                ("cannot open", {"lm_head.weight": "none.safetensors"}),
                ("missing from the shards", {"none": "model.safetensors"})]:
            with self.subTest(weight_map=weight_map):
                write_file(index, json.dumps({"weight_map": weight_map}).encode())
                self.rejects_model(words, model)

    def test_scales(self):
        converted = self.path("converted")
        subprocess.run([MXQ, "convert", "--quiet", MODEL, converted], check=True)
        path = os.path.join(converted, "model.safetensors")
        header, data = read_safetensors(path)
        name = "model.layers.1.mlp.up_proj.weight_scale"
        for words, entry in [("missing", None), ("dtype", dict(header[name], dtype="I8")),
                             ("shape", dict(header[name], shape=[4, 352]))]:
            with self.subTest(words=words):
                other = {key: value for key, value in header.items() if key != name}
                write_file(path, safetensors(dict(other, **({name: entry} if entry else {})), data))
                self.rejects_model(words, converted)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
