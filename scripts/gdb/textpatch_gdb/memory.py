# SPDX-License-Identifier: MIT
"""The target's memory and the symbols of its ELF, by way of GDB. What can't be had is a Trouble with a sentence."""

import os
import re

import gdb

PAGE = 4096
NAME_MAX = 128
LABELS_MAX = 256
MASK = (1 << 64) - 1


class Trouble(Exception):
    """What the user is told instead of an answer."""


class Memory:
    """Reads by pages and keeps them: lives no longer than one command, since the target runs in between."""

    def __init__(self):
        self.pages = {}

    def read(self, address, size):
        if size <= 0:
            return b""
        if address < 0 or address + size > 1 << 64:
            raise Trouble(f"{size} bytes at {address & MASK:#x} are no memory")
        first, last = address // PAGE, (address + size - 1) // PAGE
        pages = [self.page(number) for number in range(first, last + 1)]
        # At the end of a section of a file there is no whole page.
        if None in pages:
            return read_memory(address, size)
        offset = address - first * PAGE
        return b"".join(pages)[offset:offset + size]

    def page(self, number):
        if number not in self.pages:
            try:
                self.pages[number] = read_memory(number * PAGE, PAGE)
            except Trouble:
                self.pages[number] = None
        return self.pages[number]

    def read_number(self, address, size):
        return int.from_bytes(self.read(address, size), "little")

    def read_name(self, address):
        """A NUL-terminated string of printable characters."""
        text = b""
        while len(text) < NAME_MAX:
            byte = self.read(address + len(text), 1)
            if byte == b"\0":
                return text.decode("ascii")
            if not 0x20 <= byte[0] < 0x7f:
                break
            text += byte
        raise Trouble(f"no name stands at {address:#x}")


def read_memory(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except (gdb.error, OverflowError) as error:
        raise Trouble(f"{size} bytes at {address:#x} can't be read: {error}") from None


# What find_symbol has found, for when expressions can't be evaluated: they look at frames, and an unwinder must not.
known_symbols = {}
frames_are_computed = False


def find_symbol(name):
    """A symbol's address, or None; debug information isn't needed."""
    if frames_are_computed:
        return known_symbols.get(name)
    try:
        known_symbols[name] = int(gdb.parse_and_eval("&" + name)) & MASK
    except (gdb.error, OverflowError):
        known_symbols[name] = None
    return known_symbols[name]


def within_unwinder(function, *arguments):
    """Calls a function that reads memory while GDB computes its frames."""
    global frames_are_computed
    before, frames_are_computed = frames_are_computed, True
    try:
        return function(*arguments)
    finally:
        frames_are_computed = before


def evaluate(expression):
    """What an expression means as an address, or None. `*` in front is what GDB's own commands want there."""
    try:
        value = gdb.parse_and_eval(expression.removeprefix("*"))
        if value.type.strip_typedefs().code in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_STRUCT):
            value = value.address
        return None if value is None else int(value) & MASK
    except (gdb.error, TypeError, ValueError, OverflowError):
        return None


def look_up_symbol(address):
    address &= MASK
    # An unwinder must not run commands, which look at frames.
    if hasattr(gdb, "format_address"):
        match = re.match(r"\S+ <(.+?)(?:\+(\d+))?>$", gdb.format_address(address))
        return (match.group(1), int(match.group(2) or 0)) if match else (None, 0)
    try:
        text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    except gdb.error:
        return None, 0
    match = re.match(r"(\S+)(?: \+ (\d+))? in section ", text)
    return (match.group(1), int(match.group(2) or 0)) if match else (None, 0)


def find_place(address):
    """(symbol, offset), or (None, 0). Assemblers' own labels, which begin with a dot, count to what is before them."""
    start = address
    for _ in range(LABELS_MAX):
        symbol, offset = look_up_symbol(start)
        if symbol is None:
            break
        start -= offset
        if not symbol.startswith("."):
            return symbol, address - start
        start -= 1
    return None, 0


def name_address(address):
    """`symbol+offset`, or the number itself."""
    symbol, offset = find_place(address)
    if symbol is None:
        return f"{address:#x}"
    return f"{symbol}+{offset}" if offset else symbol


def find_line(address):
    """`file:line` as `set filename-display` wants the file, or None."""
    try:
        line = gdb.find_pc_line(address)
    except (gdb.error, OverflowError):
        return None
    if line.symtab is None or not line.line:
        return None
    style = gdb.parameter("filename-display")
    name = line.symtab.fullname() if style == "absolute" else line.symtab.filename
    return f"{os.path.basename(name) if style == 'basename' else name}:{line.line}"
