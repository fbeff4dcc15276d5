# SPDX-License-Identifier: MIT
"""What the cases share: a target, commands and their answers, and claims that are counted."""

import os
import re
import sys

import gdb

TREE, WORLD, KERNEL, OTHER, WORK = (os.environ[f"TP_{name}"] for name in ("TREE", "WORLD", "KERNEL", "OTHER", "WORK"))


class Line:
    """One site, as `textpatch sites` shows it."""

    def __init__(self, text):
        cells = re.split(r"\s{2,}", text.strip())
        address, length = cells[0].split()[0], cells[1] if len(cells) == 6 else None
        self.text = text
        self.address, self.length = int(address, 16), int(length or 0)
        self.what, self.holds, self.place, self.bytes = cells[-4:]


def start():
    gdb.execute("set pagination off")
    gdb.execute("set confirm off")
    gdb.execute("set filename-display basename")
    gdb.execute(f"source {TREE}/scripts/gdb/textpatch.py")
    gdb.execute(f"target remote {WORK}/socket")


def check(held, claim):
    print(f"{'ok' if held else 'not ok'} {claim}")
    return held


def check_equal(found, wanted, claim):
    if not check(found == wanted, claim):
        print(f"#   found  {found}\n#   wanted {wanted}")


def ask(command):
    return gdb.execute(command, to_string=True).splitlines()


def find_refusal(command):
    """The message that a command ends with; None if it succeeds."""
    try:
        gdb.execute(command, to_string=True)
    except gdb.error as error:
        return str(error)
    return None


def check_refused(command, words):
    message = find_refusal(command)
    check(message is not None and message.startswith("textpatch: ") and words in message,
          f"`{command}` is refused for: {words}")
    print(f"#   {message}")


def read_sites(argument=""):
    """The sites, and the lines behind them."""
    lines = ask(f"textpatch sites {argument}")
    return ([Line(line) for line in lines if line.startswith("0x")], [line for line in lines if line[:2] != "0x"])


def find_one(sites, address):
    found = [site for site in sites if site.address == address]
    return found[0] if found else None


def examine(address, count):
    """Bytes by GDB's own x command."""
    text = gdb.execute(f"x/{count}xb {address:#x}", to_string=True)
    cells = [cell for line in text.splitlines() for cell in line.split(":", 1)[1].split()]
    return " ".join(cell[2:] for cell in cells)


def check_bytes(sites, claim):
    """What is shown of each site is what x shows; longer sites are shown in part."""
    wrong = [site.text for site in sites
             if examine(site.address, min(site.length, 16)) != site.bytes.replace(" …", "")]
    check_equal(wrong, [], claim)


def run_to(function):
    """Until a function is entered, by a breakpoint that writes no memory."""
    number = gdb.Breakpoint(function, type=gdb.BP_HARDWARE_BREAKPOINT)
    gdb.execute("continue", to_string=True)
    number.delete()
    check_running(function)


def check_running(function):
    """The kernel may end before it comes there, and then nothing that follows can be so."""
    if not gdb.selected_inferior().pid:
        raise gdb.GdbError(f"the kernel ended before {function}")


def leave():
    gdb.execute("finish", to_string=True)


def list_by_gdb():
    """Addresses of the frames, less those that GDB makes up: of functions that were inlined, and of tail calls."""
    frames, frame = [], gdb.newest_frame()
    while frame is not None and frame.pc() and len(frames) < 64:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            frames.append(frame.pc())
        frame = frame.older()
    return frames


def number_of(expression):
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def write(address, data):
    gdb.selected_inferior().write_memory(address, bytes(data))


def run_to_end():
    """The kernel ends QEMU, and the remote connection with it."""
    try:
        gdb.execute("continue", to_string=True)
    except gdb.error as error:
        print(f"# {error}")


def leave_target():
    """QEMU may be gone before it answers."""
    try:
        gdb.execute("kill", to_string=True)
    except gdb.error as error:
        print(f"# {error}")


def finish():
    print("# done")
    sys.stdout.flush()
