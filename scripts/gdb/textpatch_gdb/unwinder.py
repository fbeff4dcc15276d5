# SPDX-License-Identifier: MIT
"""Backtraces by the kernel's unwind tables: within GDB's own, and one of our own.

GDB's unwinding by DWARF gives more than these tables do, all registers of each caller. So the unwinder takes a frame
only where DWARF knows nothing or is wrong: inside a patched site, behind a pushf of a C file's assembler statement, in code
without debug information, and where something was interrupted, since GDB then looks at the byte before. There a
caller's registers but rsp, rbp and rip are not known.

GDB ends a backtrace where a frame lies below the one before it. An interrupt's stack may lie above the interrupted one,
so `textpatch backtrace` walks by the tables alone, over all stacks.
"""

import gdb
from gdb.unwinder import Unwinder

from .memory import MASK, Memory, Trouble, find_line, find_place, find_symbol, read_memory, within_unwinder
from .orc import CALL, Ended, Frame, Lost, find_caller, find_entry, read_orc_tables
from .tables import SECTIONS, WRONG_ELF, Tables, name_images

SAVED = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
SYMBOLS = ["__tp_orc", "__tp_orc_end"] + [f"__tp_{section}{end}" for section in SECTIONS for end in ("", "_end")]
FRAMES_MAX = 1000
PUSHF = b"\x9c"


def read_word(address):
    return int.from_bytes(read_memory(address, 8), "little")


def is_users(frame):
    """By what a frame says. A CPU's own cs says otherwise under Xen, whose PV kernels run in ring 3."""
    return bool(frame.regs and frame.regs.get("cs", 0) & 3)


class Knowledge:
    """What is read of the target: anew at each stop, but for what lies inside sites, as long as images are the same."""

    def __init__(self):
        self.insides, self.images = {}, None
        self.learn()
        for event in (gdb.events.cont, gdb.events.memory_changed):
            event.connect(lambda _: self.forget())
        for event in (gdb.events.stop, gdb.events.new_objfile):
            event.connect(lambda _: self.learn())

    def learn(self):
        """Looks symbols up, while that can be done."""
        self.forget()
        for name in SYMBOLS:
            find_symbol(name)

    def forget(self):
        self.tables = None
        self.images_are_known = False
        # By (sp, ip), of frames that were interrupted: whether ip is behind what was being executed.
        self.interrupted = {}
        self.users = set()

    def find(self, place):
        if self.tables is None:
            self.tables = read_orc_tables(Memory())
        return find_entry(self.tables, place)

    def find_site(self, address):
        """Where the site begins that has an address inside."""
        if not self.images_are_known:
            images = name_images()
            if images != self.images:
                self.insides = list_insides()
            self.images, self.images_are_known = images, True
        return self.insides.get(address)


def list_insides():
    insides = {}
    for image in Tables(Memory()).images:
        for site in image.places:
            for inside in range(site.address + 1, site.end):
                insides.setdefault(inside, site.address)
    return insides


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = gdb.Value(sp), gdb.Value(pc)


def find_function_blocks(address):
    """The function that holds an address, and within it those that were inlined: innermost first."""
    block, blocks = gdb.block_for_pc(address), []
    while block and not block.is_static and not block.is_global:
        if block.function:
            blocks.append(block)
        block = block.superblock
    return blocks


def is_behind_call(address):
    """Calls of all forms, by the bytes before; wrongly so for bytes that only look like one."""
    code = read_memory(address - 7, 7)
    return code[2] == 0xe8 or any(code[-size] == 0xff and code[1 - size] >> 3 & 7 == 2 for size in (2, 3, 4, 6, 7))


def is_innermost(level, ip):
    """Functions that were inlined have frames of their own, which no unwinder sees. No frame may be asked for here."""
    return level == 0 or (level < len(find_function_blocks(ip)) and not is_behind_call(ip))


def find_start(place):
    symbol, offset = find_place(place)
    return place - offset if symbol else place


def find_function(address):
    blocks = find_function_blocks(address)
    return blocks[-1].function if blocks else None


class OrcUnwinder(Unwinder):
    def __init__(self, knowledge):
        super().__init__("textpatch")
        self.knowledge = knowledge

    def __call__(self, pending):
        try:
            return within_unwinder(self.take, pending)
        except (Trouble, Lost, gdb.error, OverflowError):
            return None

    def take(self, pending):
        return self.unwind(pending, self.read_frame(pending))

    def read_frame(self, pending):
        ip, sp = (int(pending.read_register(name)) & MASK for name in ("rip", "rsp"))
        try:
            bp = int(pending.read_register("rbp")) & MASK
        except gdb.error:
            bp = None
        behind = self.knowledge.interrupted.get((sp, ip))
        if behind is None:
            behind = not is_innermost(pending.level(), ip)
        return Frame(ip, sp, bp, None, behind)

    def unwind(self, pending, frame):
        if (frame.sp, frame.ip) in self.knowledge.users:
            return self.end(pending, frame)
        entry = self.knowledge.find(frame.place())
        if entry is None or not self.is_wanted(frame, entry):
            return None
        frame.regs = self.read_registers(pending, frame)
        try:
            at, caller = find_caller(frame, entry, read_word)
        except Ended:
            return self.end(pending, frame)
        info = pending.create_unwind_info(FrameId(at, find_start(frame.place())))
        self.save(pending, info, caller)
        if entry.type != CALL or entry.is_signal:
            self.knowledge.interrupted[(caller.sp, caller.ip)] = caller.behind
        if is_users(caller):
            self.knowledge.users.add((caller.sp, caller.ip))
        return info

    def end(self, pending, frame):
        """GDB stops at the address 0; left to itself it would guess."""
        info = pending.create_unwind_info(FrameId(frame.sp, find_start(frame.place())))
        self.save(pending, info, Frame(0, frame.sp, frame.bp))
        return info

    def read_registers(self, pending, frame):
        """Of the innermost frame, and of one that was interrupted, all are known."""
        if frame.behind and (frame.sp, frame.ip) not in self.knowledge.interrupted:
            return None
        known = {}
        for name in SAVED:
            try:
                known[name] = int(pending.read_register(name)) & MASK
            except gdb.error:
                pass
        return known

    def is_wanted(self, frame, entry):
        if entry.type != CALL or find_function(frame.place()) is None:
            return True
        site = self.knowledge.find_site(frame.ip)
        if site is not None and not entry.same(self.knowledge.find(site)):
            return True
        return not frame.behind and self.is_misread(frame, entry)

    def is_misread(self, frame, entry):
        """GDB looks an interrupted frame up by the byte before; and compilers know nothing of a pushf."""
        before = self.knowledge.find((frame.ip - 1) & MASK)
        differs = before is None or not before.same(entry)
        if (frame.sp, frame.ip) in self.knowledge.interrupted:
            return differs or find_function(frame.ip - 1) != find_function(frame.ip)
        return differs and read_memory(frame.ip - 1, 1) == PUSHF

    def save(self, pending, info, caller):
        integer = pending.architecture().integer_type
        values = dict(caller.regs) if caller.regs and "r15" in caller.regs else {}
        values.update(rip=caller.ip, rsp=caller.sp)
        if caller.bp is not None:
            values["rbp"] = caller.bp
        for name in SAVED + ("rip",):
            if name in values:
                info.add_saved_register(name, gdb.Value(values[name]).cast(integer(64, False)))
        for name, source in (("eflags", "rflags"), ("cs", "cs"), ("ss", "ss")):
            if source in values:
                info.add_saved_register(name, gdb.Value(values[source] & 0xffffffff).cast(integer(32, False)))


# ---- textpatch backtrace ----

def read_first_frame():
    frame = gdb.newest_frame()
    regs = {}
    for name in SAVED + ("rip",):
        regs[name] = int(frame.read_register(name)) & MASK
    return Frame(regs["rip"], regs["rsp"], regs["rbp"], regs)


def word_frame(number, frame):
    place = frame.place()
    symbol, offset = find_place(place)
    where = f"{symbol}+{offset + frame.behind}" if symbol else "in no symbol"
    line = find_line(place)
    mark = " (interrupted)" if number and frame.regs else ""
    return f"#{number:<3} {frame.ip:#018x} {where}{' ' + line if line else ''}{mark}"


def list_frames(knowledge):
    frame = read_first_frame()
    lines, seen = [], set()
    while len(lines) < FRAMES_MAX:
        lines.append(word_frame(len(lines), frame))
        if is_users(frame):
            return lines + ["user mode"]
        try:
            entry = knowledge.find(frame.place())
            if entry is None:
                raise Lost
            _, frame = find_caller(frame, entry, read_word)
        except Ended:
            return lines + ["nobody called"]
        except (Lost, Trouble) as trouble:
            return lines + [f"the next frame can't be found{f': {trouble}' if str(trouble) else ''}"]
        if (frame.ip, frame.sp) in seen:
            return lines + ["the walk has been here before"]
        seen.add((frame.ip, frame.sp))
    return lines + [f"and more than {FRAMES_MAX} frames"]


def report_backtrace(knowledge):
    if find_symbol("__tp_orc") is None:
        raise Trouble("no symbol __tp_orc: is the kernel linked with linker/textpatch.ld, and does the ELF have its "
                      "symbols?")
    if gdb.selected_thread() is None:
        raise Trouble("nothing runs, so nobody has called anybody")
    if not read_tables():
        raise Trouble("the kernel has no unwind table: it is linked without the output of `textpatch orc`")
    return list_frames(knowledge)


def read_tables():
    try:
        return read_orc_tables(Memory())
    except Trouble as trouble:
        raise Trouble(f"{trouble}. {WRONG_ELF}") from None
