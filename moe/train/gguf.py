"""GGUF version 3, written and read: what the trained model needs of it (F32, F16 and Q8_0 tensors).

    python3 gguf.py FILE [FILE2]     prints keys and tensors; with two files, how their key sets differ

File: magic, version, number of tensors, number of keys; the keys; name, shape, type and offset of each tensor; then
the data, aligned.  Shapes are stored fastest dimension first, so numpy's reversed.
"""
import struct
import sys

import numpy as np

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
U32, I32, F32_VALUE, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", U32: "I", I32: "i", F32_VALUE: "f", BOOL: "?", 10: "Q", 11: "q", 12: "d"}
F32, F16, Q8_0 = 0, 1, 8
Q8_BLOCK = np.dtype([("scale", "<f2"), ("q", "i1", 32)])


def quantise_q8(x):
    """float32 [..., n] with n a multiple of 32 -> blocks of a scale (largest / 127, as f16) and 32 bytes."""
    x = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    scale = np.abs(x).max(1) / np.float32(127)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    blocks = np.zeros(len(x), Q8_BLOCK)
    blocks["scale"] = scale
    scaled = x * inverse[:, None]
    blocks["q"] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))   # halves away from zero
    return blocks


def dequantise_q8(blocks):
    return (blocks["q"].astype(np.float32) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


ENCODE = {F32: lambda x: np.ascontiguousarray(x, "<f4"), F16: lambda x: np.ascontiguousarray(x, "<f2"),
          Q8_0: quantise_q8}


def packed_string(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def packed_value(kind, value):
    if kind == STRING:
        return packed_string(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(packed_value(element, v) for v in values)
    return struct.pack("<" + SCALARS[kind], value)


def write(path, keys, tensors):
    """keys: [(name, kind, value)], an ARRAY's value being (kind, list); tensors: [(name, type, float array)]."""
    data, infos, at = [], [], 0
    for name, kind, x in tensors:
        raw = ENCODE[kind](x).tobytes()
        infos.append(packed_string(name) + struct.pack("<I", x.ndim) +
                     b"".join(struct.pack("<q", n) for n in reversed(x.shape)) + struct.pack("<IQ", kind, at))
        data.append(raw + bytes(-len(raw) % ALIGNMENT))
        at += len(data[-1])
    head = MAGIC + struct.pack("<Iqq", VERSION, len(tensors), len(keys))
    head += b"".join(packed_string(name) + struct.pack("<I", kind) + packed_value(kind, v) for name, kind, v in keys)
    head += b"".join(infos)
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % ALIGNMENT))
        out.writelines(data)


class Reader:
    """keys: {name: (kind, value)}; tensors: {name: (type, shape, float32 array on demand)} through tensor(name)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.raw = f.read()
        self.at = 4
        version, n_tensors, n_keys = self.take("Iqq")
        if self.raw[:4] != MAGIC or version != VERSION:
            raise ValueError(f"{path}: not a GGUF file of version {VERSION}")
        self.keys, self.infos = {}, {}
        for _ in range(n_keys):
            name = self.value(STRING)
            kind, = self.take("I")
            self.keys[name] = (kind, self.value(kind))
        for _ in range(n_tensors):
            name = self.value(STRING)
            n_dims, = self.take("I")
            shape = tuple(reversed(self.take(f"{n_dims}q")))
            self.infos[name] = (*self.take("I"), shape, *self.take("Q"))
        alignment = self.keys.get("general.alignment", (U32, ALIGNMENT))[1]
        self.base = self.at + -self.at % alignment

    def take(self, what):
        values = struct.unpack_from("<" + what, self.raw, self.at)
        self.at += struct.calcsize("<" + what)
        return values

    def value(self, kind):
        if kind == STRING:
            n, = self.take("Q")
            self.at += n
            return self.raw[self.at - n:self.at].decode()
        if kind == ARRAY:
            element, n = self.take("IQ")
            return element, [self.value(element) for _ in range(n)]
        return self.take(SCALARS[kind])[0]

    def get(self, name, default=None):
        """A key's value; an array's list."""
        kind, value = self.keys.get(name, (None, default))
        return value[1] if kind == ARRAY else value

    def tensor(self, name):
        """A tensor as float32 in numpy's order of dimensions."""
        kind, shape, offset = self.infos[name]
        n = int(np.prod(shape))
        start = self.base + offset
        if kind == Q8_0:
            return dequantise_q8(np.frombuffer(self.raw, Q8_BLOCK, n // 32, start)).reshape(shape)
        dtype = {F32: "<f4", F16: "<f2"}[kind]
        return np.frombuffer(self.raw, dtype, n, start).astype(np.float32).reshape(shape)


def main():
    files = [Reader(p) for p in sys.argv[1:]]
    if len(files) == 1:
        for name, (kind, value) in files[0].keys.items():
            print(name, kind, f"{len(value[1])} of kind {value[0]}" if kind == ARRAY else value)
        for name, (kind, shape, offset) in files[0].infos.items():
            print(name, list(reversed(shape)), kind, offset)
    elif len(files) == 2:
        a, b = ({(k, v[0]) for k, v in f.keys.items()} for f in files)
        print("only in the first:", sorted(a - b))
        print("only in the second:", sorted(b - a))
        print("tensor names differ:", sorted(set(files[0].infos) ^ set(files[1].infos)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
