# SPDX-License-Identifier: MIT
"""The kernel's own unwind tables (include/textpatch/unwind.h), and one step to the caller by them.

The reverse of lib/unwind/iterate.c, with two differences: memory is read through GDB, which says when it can't be, and
a table is searched where it lies and never read as a whole.
"""

import struct

import gdb

from .memory import MASK, Trouble, find_symbol

VERSION, BLOCK = 1, 256
HEAD, ENTRY = struct.Struct("<IiII"), struct.Struct("<hhBB")
TABLES_MAX = 1024

UNDEFINED, END, CALL, REGS, WORDS = range(5)
TYPE, TRAP, SIGNAL = 0x0f, 0x40, 0x80

SP, BP, AT_SP, AT_BP, BEHIND_SP, BEHIND_BP = range(1, 7)
REGISTER_OF_BASE = {7: "rax", 8: "rcx", 9: "rdx", 10: "rdi", 11: "rsi", 12: "r10", 13: "r11", 14: "r13"}
BP_SAME, BP_SAVED, BP_AT_BP, BP_AT_SP = 0x00, 0x10, 0x20, 0x30

# struct tp_regs
REGS_LAYOUT = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rdi", "rsi", "rdx", "rcx", "rax",
               "vector", "error_code", "rip", "cs", "rflags", "rsp", "ss")
REGS_SIZE = 8 * len(REGS_LAYOUT)
BREAKPOINT_VECTOR, BREAKPOINT_MOVED = 3, 1


class Entry:
    def __init__(self, fields):
        self.sp_offset, self.bp_offset, registers, kind = fields
        self.base, self.bp_rule = registers & 0x0f, registers & 0xf0
        self.type, self.is_trap, self.is_signal = kind & TYPE, bool(kind & TRAP), bool(kind & SIGNAL)

    def same(self, other):
        return vars(self) == vars(other)


class OrcTable:
    def __init__(self, memory, head, size):
        self.memory = memory
        if size < HEAD.size:
            raise Trouble(f"the unwind table at {head:#x} has no room for its head")
        version, text, self.text_size, self.count = HEAD.unpack(memory.read(head, HEAD.size))
        if version != VERSION:
            raise Trouble(f"the unwind table at {head:#x} has version {version}; this script knows {VERSION}")
        blocks = (self.text_size + BLOCK - 1) // BLOCK
        if not self.count or HEAD.size + 10 * self.count + 4 * blocks > size:
            raise Trouble(f"the unwind table at {head:#x} does not fit into its {size} bytes")
        self.text = (head + 4 + text) & MASK
        self.take_arrays(head + HEAD.size, head + HEAD.size + 4 * self.count,
                         head + HEAD.size + 4 * self.count + 4 * blocks)

    def take_arrays(self, ips, blocks, entries):
        self.ips, self.blocks, self.entries = ips, blocks, entries

    def holds(self, place):
        return self.text <= place < self.text + self.text_size

    def number(self, array, at):
        return self.memory.read_number(array + 4 * at, 4)

    def find(self, place):
        offset = place - self.text
        block = offset // BLOCK
        low = self.number(self.blocks, block)
        last = (self.text_size - 1) // BLOCK
        high = self.count if block == last else self.number(self.blocks, block + 1) + 1
        if not low < high <= self.count:
            raise Trouble(f"the unwind table's index is damaged at {self.blocks + 4 * block:#x}")
        while high - low > 1:
            middle = (low + high) // 2
            if self.number(self.ips, middle) <= offset:
                low = middle
            else:
                high = middle
        return Entry(ENTRY.unpack(self.memory.read(self.entries + ENTRY.size * low, ENTRY.size)))


class ListedTable(OrcTable):
    """One that the kernel has added: struct tp_unwind_table."""

    def __init__(self, memory, value):
        def field(name):
            return int(value[name]) & MASK

        self.memory = memory
        self.text, self.text_size, self.count = field("text_start"), field("text_size"), field("count")
        self.take_arrays(field("ips"), field("blocks"), field("entries"))
        if not self.count or not self.text_size:
            raise Trouble("an unwind table without entries")


def read_orc_tables(memory):
    """That of the kernel, and those that its modules have added."""
    tables = []
    start, end = find_symbol("__tp_orc"), find_symbol("__tp_orc_end")
    if start is not None and end is not None and end > start:
        tables.append(OrcTable(memory, start, end - start))
    for symbol in find_lists():
        tables += read_list(memory, symbol)
    return tables


def find_lists():
    try:
        symbols = [symbol for name in ("staying", "removable") for symbol in gdb.lookup_static_symbols(name)]
    except (gdb.error, AttributeError):
        return []
    return [symbol for symbol in symbols if symbol.symtab.filename.endswith("unwind/tables.c")]


def read_list(memory, symbol):
    tables, seen = [], set()
    try:
        pointer = symbol.value()
        while int(pointer) and int(pointer) not in seen and len(tables) < TABLES_MAX:
            seen.add(int(pointer))
            tables.append(ListedTable(memory, pointer.dereference()))
            pointer = pointer["next"]
    except (gdb.error, Trouble):
        pass  # what has been found so far is good
    return tables


def find_entry(tables, place):
    for table in tables:
        if table.holds(place):
            return table.find(place)
    return None


# ---- One step ----

class Frame:
    """ip, sp, bp (None: not known); regs: all of them by name, of an interrupted frame; behind: ip is behind a call or
    an int3."""

    def __init__(self, ip, sp, bp, regs=None, behind=False):
        self.ip, self.sp, self.bp, self.regs, self.behind = ip, sp, bp, regs, behind

    def place(self):
        return (self.ip - self.behind) & MASK


class Lost(Exception):
    """There is no way on."""


class Ended(Exception):
    """Nobody called."""


def compute_frame(frame, entry, read_word):
    if entry.base in (SP, AT_SP, BEHIND_SP):
        value = frame.sp
    elif entry.base in (BP, AT_BP, BEHIND_BP):
        value = frame.bp
    else:
        value = (frame.regs or {}).get(REGISTER_OF_BASE.get(entry.base))
    if value is None:
        raise Lost
    value = (value + entry.sp_offset) & MASK
    if entry.base in (AT_SP, AT_BP, BEHIND_SP, BEHIND_BP):
        value = read_word(value)
    return (value + 8) & MASK if entry.base in (BEHIND_SP, BEHIND_BP) else value


def compute_bp(frame, entry, at, read_word):
    if entry.bp_rule == BP_SAME:
        return frame.bp
    if entry.bp_rule == BP_SAVED:
        return read_word((at + entry.bp_offset) & MASK)
    if entry.bp_rule == BP_AT_BP:
        return None if frame.bp is None else read_word((frame.bp + entry.bp_offset) & MASK)
    return read_word((frame.sp + entry.bp_offset) & MASK) if entry.bp_rule == BP_AT_SP else None


def read_breakpoint(regs):
    """(ip, behind) of a frame of vector 3: unwind.h, TP_BREAKPOINT_MOVED."""
    state, laid_over = regs["error_code"], (regs["error_code"] >> 63 ^ regs["error_code"] >> 62) & 1
    if state <= BREAKPOINT_MOVED or laid_over != regs["rsp"] >> 3 & 1:
        return regs["rip"], state == 0
    return state ^ laid_over << 62, True


def read_regs(at, read_word):
    regs = {name: read_word(at + 8 * number) for number, name in enumerate(REGS_LAYOUT)}
    ip, behind = regs["rip"], False
    if regs["vector"] == BREAKPOINT_VECTOR:
        ip, behind = read_breakpoint(regs)
    return Frame(ip, regs["rsp"], regs["rbp"], regs, behind)


def find_caller(frame, entry, read_word):
    """(where the frame lies, the caller's Frame). read_word raises Trouble where there is no memory."""
    if entry.type == END:
        raise Ended
    if entry.type not in (CALL, REGS, WORDS):
        raise Lost
    at = compute_frame(frame, entry, read_word)
    if entry.type == REGS:
        return at + REGS_SIZE, read_regs(at, read_word)
    bp = compute_bp(frame, entry, at, read_word)
    if entry.type == CALL:
        ip = read_word((at - 8) & MASK)
        if not ip:
            raise Lost
        return at, Frame(ip, at, bp, behind=not entry.is_signal)
    return at + 40, Frame(read_word(at), read_word(at + 24), bp, {"cs": read_word(at + 8)}, entry.is_trap)
