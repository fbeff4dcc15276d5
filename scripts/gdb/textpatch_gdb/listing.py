# SPDX-License-Identifier: MIT
"""Disassembly that starts anew at each site's beginning and end, so that it shows what a CPU would execute.

A plain sweep goes astray where a batch has put an int3: the bytes behind it belong to an instruction that has lost its
first byte. Here they are shown as bytes, and decoding goes on behind the site.
"""

import re

import gdb

from . import forms
from .memory import Trouble, evaluate, find_place
from .places import name_site, split_into_places, word_holding

INSTRUCTION_MAX = 15
PARTS_MAX = 256


def find_ranges(address):
    """[start, end) of all parts of the function that holds an address, as GDB's own disassembly has them."""
    symbol, offset = find_place(address)
    ranges = find_parts(address)
    if len(ranges) > 1 or symbol is None:
        return ranges
    # Assemblers' labels part what is one function.
    start, end = min(ranges[0][0], address - offset), ranges[0][1]
    for _ in range(PARTS_MAX):
        if find_place(end) != (symbol, end - (address - offset)):
            break
        end = find_parts(end)[0][1]
    return [(start, end)]


def find_parts(address):
    try:
        text = gdb.execute(f"disassemble {address:#x}", to_string=True)
    except gdb.error as error:
        raise Trouble(str(error)) from None
    stated = re.findall(r"^Address range (0x[0-9a-f]+) to (0x[0-9a-f]+):", text, re.MULTILINE)
    if stated:
        return [(int(start, 16), int(end, 16)) for start, end in stated]
    shown = [int(at, 16) for at in re.findall(r"^(?:=>)? +(0x[0-9a-f]+) ", text, re.MULTILINE)]
    if not shown:
        raise Trouble(f"no function holds {address:#x}")
    return [(shown[0], shown[-1] + decode(shown[-1])[0])]


def decode(address):
    """(length, text) of one instruction."""
    try:
        found = gdb.selected_inferior().architecture().disassemble(address, count=1)[0]
    except (gdb.error, IndexError) as error:
        raise Trouble(f"{address:#x} can't be decoded: {error}") from None
    return found["length"], found["asm"]


def find_pc():
    try:
        return gdb.selected_frame().pc()
    except gdb.error:
        return None


class Listing:
    def __init__(self, places, start, end):
        self.memory, self.start, self.end = places.memory, start, end
        self.pc = find_pc()
        self.lines = []
        inside = [holding for holding in places.holdings if start <= holding.site.address < end]
        self.holdings = {}
        for holding in inside:
            self.holdings.setdefault(holding.site.address, []).append(holding)
        groups = split_into_places([holding.site for holding in inside])
        # Decoding stops at all of these, wherever an instruction would end.
        self.stops = sorted({group[0].address for group in groups} | {group[0].end for group in groups} | {end})

    def show(self):
        at = self.start
        while at < self.end:
            trapped = self.show_sites(at)
            if trapped:
                self.show_bytes(at, 1, "int3")
                self.show_bytes(at + 1, trapped - at - 1, "what remains of the form under it")
                at = trapped
                continue
            at = self.show_instruction(at, next(stop for stop in self.stops if stop > at))
        return self.lines

    def show_sites(self, at):
        """Says what begins here; returns the end of a site whose int3 stands here, else None."""
        for holding in self.holdings.get(at, ()):
            site = holding.site
            if holding.form.kind == forms.COVERED and holding.covered_by.address != at:
                continue
            self.lines.append(f"   # {name_site(holding)}, {site.length} bytes: {word_holding(holding)}")
        trapped = [holding.site.end for holding in self.holdings.get(at, ()) if holding.trap]
        return min(max(trapped), self.end) if trapped else None

    def show_instruction(self, at, stop):
        length, text = decode(at)
        if at + length <= stop:
            self.show_bytes(at, length, text)
            return at + length
        self.show_bytes(at, stop - at, "(bad)")
        return stop

    def show_bytes(self, at, size, text):
        while size > 0:
            part = min(size, INSTRUCTION_MAX)
            code = self.memory.read(at, part).hex(" ")
            mark = "=>" if self.pc is not None and at <= self.pc < at + part else "  "
            self.lines.append(f"{mark} {at:#x} <+{at - self.start}>:\t{code}\t{text}")
            at, size = at + part, size - part


def list_function(places, argument):
    address = evaluate(argument) if argument else find_pc()
    if address is None and not argument:
        raise Trouble("which function? No frame is selected")
    if address is None:
        raise Trouble(f"no function or address: {argument}")
    lines = []
    for start, end in find_ranges(address):
        symbol, offset = find_place(start)
        lines.append(f"{symbol or 'code'}{f'+{offset}' if offset else ''}, {start:#x} to {end:#x}:")
        lines += Listing(places, start, end).show()
    return lines
