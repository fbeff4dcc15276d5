# SPDX-License-Identifier: MIT
"""ELF files that don't fit what runs, and files alone.

   no process: what the ELF holds, all original; no symbols: a sentence; no debug information: the kernel's sites, and a
   note that images of run time are missing
   another kernel's ELF: a sentence; no process to walk, no frame to disassemble: sentences
"""

import os
import subprocess
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403


def make(option):
    path = os.path.join(WORK, f"kernel{option}")
    subprocess.run(["objcopy", option, KERNEL, path], check=True)
    return path


def load(path):
    gdb.execute(f"file {path}", to_string=True)


def main():
    start()
    run_to("tp_apply")
    leave()
    sites, _ = read_sites()
    load(make("--strip-all"))
    check_refused("textpatch sites", "does the ELF have its symbols?")
    check_refused("textpatch disassemble take_lock", "does the ELF have its symbols?")
    check_refused("textpatch backtrace", "does the ELF have its symbols?")
    load(make("--strip-debug"))
    fewer, lines = read_sites()
    check_equal([(site.address, site.bytes, site.holds) for site in fewer],
                [(site.address, site.bytes, site.holds) for site in sites], "without debug information: the same")
    check(any("no image of run time" in line for line in lines), "and a note")
    load(OTHER)
    for command in ("sites", "key", "disassemble kernel_main"):
        check_refused(f"textpatch {command}", "Is the ELF that of the kernel that runs")
    if number_of("&__tp_orc") != number_of("&__tp_orc_end"):
        check_refused("textpatch backtrace", "Is the ELF that of the kernel that runs")
    load(KERNEL)
    check_equal([site.text for site in read_sites()[0]], [site.text for site in sites], "the right one again")
    leave_target()
    check_refused("textpatch backtrace", "nothing runs")
    check_refused("textpatch disassemble", "which function?")
    alone, _ = read_sites()
    check_equal([site.address for site in alone], [site.address for site in sites], "the file alone: the same sites")
    linked = ("original", "NOP", "jump to ")
    check_equal([site.text for site in alone if not site.holds.startswith(linked)], [], "each as it was linked")
    check(any(not site.holds.startswith(linked) for site in sites), "which they were not in the kernel")


main()
finish()
