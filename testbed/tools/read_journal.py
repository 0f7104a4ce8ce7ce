#!/usr/bin/env python3
"""Reads the journal of a run (notes/journal.md) into numpy arrays.

    python3 testbed/tools/read_journal.py runs/default-20260131T120000Z      prints what it holds

    from read_journal import Journal
    j = Journal("runs/default-20260131T120000Z")
    ul = j.csi(device=3, direction="ul")
    ul["slot"], ul["h"], ul["snr_db"]           # [n], [n][n_sc] complex64, [n][n_rb]
    h = ul["h"][ul["valid"]]                    # an invalid estimate is zeros, not a channel
    j.events("attached")                        # list of dicts

Reads up to the first damaged record, whose place is then in j.damaged_at (None: no damage).  j.complete: the run
ended in order.
"""
import json
import os
import struct
import sys

import numpy as np

CSI, EVENT, END = 1, 2, 3
DIRECTIONS = ("dl", "ul")
HEAD = [("slot", "<u8"), ("t_slot_samples", "<u8"), ("t_ref_samples", "<u8"), ("direction", "u1"), ("device", "u1"),
        ("valid", "?"), ("reserved", "u1"), ("n_sc", "<u2"), ("n_rb", "<u2"), ("noise_var", "<f4"),
        ("snr_mean_db", "<f4"), ("cfo_hz", "<f4"), ("timing_samples", "<f4"), ("rssi_dbfs", "<f4"), ("evm_db", "<f4")]


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data, table=crc32c_table()):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Journal:
    def __init__(self, path, check_crc=False):
        """path: the file, or the folder of the run.  check_crc: slow in Python; `wdmoe csi info` does it fast."""
        if os.path.isdir(path):
            path = os.path.join(path, "journal.wdj")
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        if len(self.data) < 20 or bytes(self.data[:8]) != b"WDMOEJRN":
            raise ValueError(path + ": not a journal")
        version, n = struct.unpack("<II", self.data[8:16].tobytes())
        if version != 1:
            raise ValueError(f"{path}: format version {version}")
        self.metadata = json.loads(self.data[16:16 + n].tobytes())
        self.damaged_at, self.complete = None, False
        self._csi, self._events = {}, []
        self._scan(20 + n, check_crc)

    def _scan(self, at, check_crc):
        size = len(self.data)
        while at < size:
            if at + 12 > size:
                self.damaged_at = at
                return
            kind, n = struct.unpack("<II", self.data[at:at + 8].tobytes())
            end = at + 8 + n
            if end + 4 > size or (check_crc and crc32c(self.data[at:end].tobytes())
                                  != struct.unpack("<I", self.data[end:end + 4].tobytes())[0]):
                self.damaged_at = at
                return
            if kind == CSI:
                key = (int(self.data[at + 8 + 25]), DIRECTIONS[self.data[at + 8 + 24]])
                self._csi.setdefault(key, []).append(at + 8)
            elif kind == EVENT:
                self._events.append(at + 8)
            self.complete = kind == END
            at = end + 4

    def links(self):
        """(device, direction) pairs that have records."""
        return sorted(self._csi)

    def csi(self, device, direction):
        """A structured array, one row a record, of one link and direction."""
        at = self._csi.get((device, direction), [])
        if not at:
            return np.zeros(0, dtype=np.dtype(HEAD))
        n_sc, n_rb = (int(x) for x in self.data[at[0] + 28:at[0] + 32].view("<u2"))
        row = np.dtype(HEAD + [("snr_db", "<f4", (n_rb,)), ("h", "<c8", (n_sc,)), ("rx_gain_db", "<f4")])
        size = int(self.data[at[0] - 4:at[0]].view("<u4")[0])
        if size < row.itemsize:  # a journal from before the gain was kept
            row = np.dtype(row.descr[:-1])
        return np.frombuffer(b"".join(self.data[a:a + row.itemsize].tobytes() for a in at), dtype=row)

    def events(self, name=None):
        """All events as dicts, or those of one name."""
        lengths = (struct.unpack("<I", self.data[a - 4:a].tobytes())[0] for a in self._events)
        all_events = (json.loads(self.data[a:a + n].tobytes()) for a, n in zip(self._events, lengths))
        return [e for e in all_events if name is None or e.get("event") == name]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: read_journal.py FILE|FOLDER")
    j = Journal(sys.argv[1])
    for device, direction in j.links():
        c = j.csi(device, direction)
        good = c[c["valid"]]
        power = 10 * np.log10(np.mean(np.abs(good["h"]) ** 2)) if len(good) else float("nan")
        print(f"device {device} {direction}: {len(c)} records, {len(good)} valid, slots {c['slot'][0]}..{c['slot'][-1]}, "
              f"mean |h|^2 {power:.1f} dB")
    print(f"{len(j.events())} events; {'complete' if j.complete else 'no end record'}"
          + (f"; damaged at byte {j.damaged_at}" if j.damaged_at is not None else ""))


if __name__ == "__main__":
    main()
