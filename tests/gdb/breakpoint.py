# SPDX-License-Identifier: MIT
"""In #BP handlers, in the middle of batches, wherever the int3 was hit: in loads, in interrupts, by whoever patches.

   the tables lead from the handler to the site whose int3 it was, which is one of a batch, and on to where nobody called;
   the next frames are the same by GDB
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

TIMES = 12


def take_frames():
    """(ip, what stands behind it) of each frame, and how the walk ended."""
    lines = ask("textpatch backtrace")
    return [(int(line.split()[1], 16), line.split(None, 2)[2]) for line in lines if line[0] == "#"], lines[-1]


def check_once(seen):
    frames, end = take_frames()
    at = next((number for number, (_, what) in enumerate(frames) if what.endswith("(interrupted)")), None)
    if at is None or end != "nobody called":
        return frames, end
    if frames[at][1].startswith("tp_probe_int3"):
        return None
    site = frames[at][0] - 1
    sites, _ = read_sites(f"{site:#x}")
    seen.add(len(frames))
    if len(sites) != 1 or not sites[0].holds.startswith("int3 of a batch"):
        return frames, sites and sites[0].text
    by_gdb = list_by_gdb()
    shared = min(len(by_gdb), len(frames))
    return None if shared > at + 1 and by_gdb[:shared] == [ip for ip, _ in frames[:shared]] else (
        [f"{ip:#x} {what}" for ip, what in frames], [f"{ip:#x}" for ip in by_gdb])


def main():
    start()
    wrong, seen = [], set()
    for _ in range(TIMES):
        run_to("tp_breakpoint_dispatch")
        fault = check_once(seen)
        wrong += [fault] if fault else []
    check_equal(wrong[:2], [], f"{TIMES} #BP handlers, {len(seen)} different depths")


main()
finish()
