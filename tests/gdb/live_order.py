# SPDX-License-Identifier: MIT
"""In the middle of batches, while four CPUs run: each stop is at a sync.

   exactly the sites that begin with an int3 are said to have one of a batch, and to which form belongs what is behind it
   old tail, new tail, no int3; the key says what the text shows still and what the pass brings
   a disassembly goes on right behind such a site, where GDB's own goes astray
   several kinds of sites in one batch
"""

import os
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

OF_BATCH = "int3 of a batch; behind it: "


def run_to_sync():
    gdb.execute("continue", to_string=True)


def check_int3s(step):
    sites, lines = read_sites()
    trapped = [site for site in sites if site.holds.startswith(OF_BATCH)]
    actual = [site.address for site in sites if examine(site.address, 1) == "cc"]
    check_equal([site.address for site in trapped], actual, f"{step}: the sites with an int3 are those that have one")
    check_bytes(trapped, f"{step}: their bytes as x shows them")
    stated = f", {len(actual)} with an int3 of a batch" if actual else " sites"
    check(lines[0].endswith(stated), f"{step}: their number, {len(actual)}")
    return trapped


def check_listing(function, site):
    """Bytes behind the int3 stay bytes, and the next instruction begins where the site ends."""
    lines = ask(f"textpatch disassemble {function}")
    at = next(number for number, line in enumerate(lines) if f" {site.address:#x} <" in line)
    check(lines[at].endswith("\tcc\tint3") and OF_BATCH in lines[at - 1], f"{function}: the int3 is marked")
    rest = f"\t{site.bytes[3:]}\twhat remains of the form under it"
    check(lines[at + 1].endswith(rest), f"{function}: the rest of it")
    check(f" {site.address + site.length:#x} <" in lines[at + 2], f"{function}: on at the site's end")


def first_instructions(address, number):
    text = gdb.execute(f"x/{number}i {address:#x}", to_string=True)
    return [int(line.replace("=>", "").split()[0].rstrip(":"), 16) for line in text.splitlines()]


def check_trap():
    run_to_sync()
    trapped = check_int3s("behind the int3")
    check_equal([site.holds for site in trapped], [f"{OF_BATCH}direct call of live_one"], "the old tail")
    text = "\n".join(ask("textpatch key live_ops.companion"))
    check("<live_one> still; a pass under way brings" in text and "<live_two>" in text, "the key in between")
    check_listing("visit_companion", trapped[0])
    run_to_sync()
    trapped = check_int3s("behind the tail")
    check_equal([site.holds for site in trapped], [f"{OF_BATCH}direct call of live_two"], "the new tail")
    run_to_sync()
    check_equal(check_int3s("behind the first byte"), [], "no int3 any more")
    sites, _ = read_sites("live_ops.companion")
    check_equal([site.holds for site in sites], ["direct call of live_two; a batch is about to write it"],
                "whole, but not settled yet")


def find_large_batch():
    """The suite's third case changes ops, static calls, branches and alternatives together."""
    for _ in range(60):
        run_to_sync()
        trapped = [site for site in read_sites()[0] if site.holds.startswith(OF_BATCH)]
        if len({site.what.rsplit(" ", 1)[0] for site in trapped}) >= 3:
            return trapped
    return []


def check_large_batch():
    trapped = find_large_batch()
    check(trapped, "a batch of several kinds of sites")
    check_equal([site.address for site in check_int3s("large batch")], [site.address for site in trapped], "the same")
    check_equal([site.text for site in trapped if "none of its forms" in site.holds], [], "each tail is known")
    key = next(site for site in trapped if site.what == "static key live_key" and site.length == 5)
    check_listing(f"*{key.address:#x}", key)
    check(key.address + key.length not in first_instructions(key.address, 3),
          "control: GDB's own disassembly goes astray there")


def main():
    start()
    gdb.Breakpoint("-source live_port.c -function sync_cpus", type=gdb.BP_HARDWARE_BREAKPOINT)
    check_trap()
    check_large_batch()


main()
finish()
