# SPDX-License-Identifier: MIT
"""An image that was added at run time.

   its sites, and its key, whose name holds what names rarely hold; the int3 in its text
   a list of images that has no end, or that leads nowhere, is said to be damaged, and the kernel's sites are shown
   before it comes and once it has gone only the kernel's are
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

USE_OP, USE_KEY = 5, 61
MODULE = "'live_images.c'::module"


def check_kernel_alone(claim):
    sites, lines = read_sites()
    check_equal([line.split(":")[0] for line in lines[1:]], ["kernel"], claim)
    return sites


def check_module(kernel_sites):
    sites, lines = read_sites()
    text = number_of(f"&{MODULE}.text")
    own = [site for site in sites if text <= site.address < text + 256]
    check_equal([(site.address - text, site.length) for site in own], [(USE_OP, 6), (USE_KEY, 5)], "the module's sites")
    check_equal(own[0].holds, "direct call of live_one", "its call")
    check_equal(own[1].holds, "int3 of a batch; behind it: NOP", "its branch, in the middle of a batch")
    check_equal(len(sites), len(kernel_sites) + 2, "beside the kernel's")
    check("module: 2 sites, 1 key, applied" in lines, "its tables")
    key = "\n".join(ask("textpatch key module's key"))
    check("module's key: static key of module" in key and "1 site" in key, "its key")
    check(f"{number_of(f'&{MODULE}.key'):#x}" in key, "its cell")


def check_damaged(expression, value, words):
    address, kept = number_of(f"&{expression}"), number_of(expression)
    write(address, value.to_bytes(8, "little"))
    sites, lines = read_sites()
    notes = [line for line in ask("textpatch sites") if line.startswith("textpatch: ")]
    check(any(words in note for note in notes) and len(sites) > 100, f"{expression} = {value:#x}: {notes}")
    write(address, kept.to_bytes(8, "little"))


def main():
    start()
    run_to("trap_in_module")
    kernel_sites = check_kernel_alone("before it comes")
    run_to("tp_trace_step")
    while number_of("step") != number_of("TP_STEP_SYNC_INT3"):
        run_to("tp_trace_step")
    check_module(kernel_sites)
    first = number_of("tp_registry.images")
    check_damaged("tp_registry.images->next->next", first, "damaged behind 2 of them: it has no end")
    check_damaged("tp_registry.images->next", 0x123456789abc, "damaged behind 1 of them")
    check_damaged("tp_registry.images", 0xdead00000000beef, "damaged behind 0 of them")
    check_damaged("tp_registry.images->next->name", 8, "damaged behind 1 of them")
    check_module(kernel_sites)
    run_to("build_text")
    check_kernel_alone("once it has gone")


main()
finish()
