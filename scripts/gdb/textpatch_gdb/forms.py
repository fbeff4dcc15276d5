# SPDX-License-Identifier: MIT
"""What bytes mean at a site. Knows bytes and tables, not GDB.

Each recogniser is the reverse of one renderer in lib/render: it gives the Form that the bytes are, or None.
"""

from collections import namedtuple

from .tables import (ALTERNATIVE, BRANCH_CALL, BRANCH_JCC, LOCK_PREFIX, OP, STATIC_CALL, STATIC_KEY, TRAMPOLINE)

PAD, INT3 = 0x2e, 0xcc
CALL, JMP, JMP8 = 0xe8, 0xe9, 0xeb
MASK = (1 << 64) - 1

# kind: a word; target: the function, cell or feature's form that it is about, or None.
Form = namedtuple("Form", "kind target", defaults=(None,))

ORIGINAL, REPLACEMENT, INLINE, DIRECT, NOP, JUMP, RETURN, TRAP, PREFIX, COVERED, UNKNOWN = (
    "original", "replacement", "inline", "direct", "NOP", "jump", "ret", "ud2", "prefix", "covered", "unknown")


def read_displacement(code, at, size=4):
    return int.from_bytes(code[at:at + size], "little", signed=True)


def measure_memory_operand(code, at):
    """Bytes of a ModRM byte that is at `at`, with what follows it; 0 if it is cut."""
    if at >= len(code):
        return 0
    mode, register = code[at] >> 6, code[at] & 7
    size = 1
    if mode != 3 and register == 4:
        if at + 1 >= len(code):
            return 0
        size += 1
        if mode == 0 and code[at + 1] & 7 == 5:
            size += 4
    if mode == 0 and register == 5:
        size += 4
    return size + {1: 1, 2: 4}.get(mode, 0)


def measure_nop(code):
    """The length of the NOP that code begins with, or 0."""
    at = 0
    while at < len(code) and code[at] in (0x66, PAD):
        at += 1
    if code[at:at + 1] == b"\x90":
        return at + 1
    if code[at:at + 2] == b"\x0f\x1f":
        operand = measure_memory_operand(code, at + 2)
        length = at + 2 + operand
        return length if operand and length <= len(code) else 0
    return 0


def measure_skip(code):
    """Two or five bytes that jump over all the int3 behind them, or 0."""
    for opcode, length in ((JMP8, 2), (JMP, 5)):
        if code[:1] == bytes([opcode]) and len(code) >= length:
            rest = len(code) - length
            if read_displacement(code, 1, length - 1) == rest and code[length:] == bytes([INT3]) * rest:
                return length
    return 0


def is_nop_run(code):
    while code:
        length = measure_nop(code)
        if not length:
            return bool(measure_skip(code))
        code = code[length:]
    return True


def is_padding_before(code):
    return all(byte == PAD for byte in code) or is_nop_run(code)


def same_code(code, address, pattern, origin, skip=()):
    """Whether `code`, at `address`, is `pattern`, which lies at `origin`, moved there: byte by byte, but that
    four-byte fields may have moved with the distance. Offsets in `skip` are others' business."""
    def is_moved(start):
        here = read_displacement(code, start) + address + start
        there = read_displacement(pattern, start) + origin + start
        return start >= 0 and start + 4 <= len(pattern) and (here - there) & 0xffffffff == 0

    at = 0
    while at < len(pattern):
        if code[at] == pattern[at] or at in skip:
            at += 1
            continue
        field = next((start for start in range(at, at - 4, -1) if is_moved(start)), None)
        if field is None:
            return False
        at = field + 4
    return True


def holds_code(code, address, pattern, origin, skip=()):
    """The same with padding before or behind it. With `skip` nothing is padded in front."""
    padding = len(code) - len(pattern)
    if padding < 0:
        return False
    for start in (0,) if skip or not padding else (0, padding):
        before, body, after = code[:start], code[start:start + len(pattern)], code[start + len(pattern):]
        if is_padding_before(before) and is_nop_run(after) and same_code(body, address + start, pattern, origin, skip):
            return True
    return False


def find_branch(code, address):
    """(opcode, target) of a call or jump that is padded in front and fills the code; or None."""
    bare = code.lstrip(bytes([PAD]))
    if len(bare) == 5 and bare[0] in (CALL, JMP):
        return bare[0], (address + len(code) + read_displacement(bare, 1)) & MASK
    return None


def find_indirect(code, address):
    """(second opcode byte, cell) of a call or jump through a cell."""
    bare = code.lstrip(bytes([PAD]))
    if len(bare) == 6 and bare[0] == 0xff and bare[1] in (0x15, 0x25):
        return bare[1], (address + len(code) + read_displacement(bare, 2)) & MASK
    return None


def recognise_ends(code):
    """ret or ud2 and then int3."""
    for first, kind in ((b"\xc3", RETURN), (b"\x0f\x0b", TRAP)):
        rest = len(code) - len(first)
        if code.startswith(first) and code[len(first):] == bytes([INT3]) * rest:
            return Form(kind)
    return None


def recognise_inline(code, address, inlines, favoured):
    """Functions may share one patchlet: a favoured one goes first."""
    functions = [inline.function for inline in inlines
                 if inline.length and holds_code(code, address, inline.bytes, inline.start)]
    for function in favoured:
        if function in functions:
            return Form(INLINE, function)
    return Form(INLINE, functions[0]) if functions else None


def recognise_pointer_call(site, code, address, inlines, favoured):
    """An op or a trampoline: through the cell, direct, inline, or nothing."""
    calls = site.branch() == BRANCH_CALL
    indirect, branch = find_indirect(code, address), find_branch(code, address)
    if indirect == (0x15 if calls else 0x25, site.key):
        return Form(ORIGINAL)
    if branch and branch[0] == (CALL if calls else JMP):
        return Form(DIRECT, branch[1])
    if calls and is_nop_run(code):
        return Form(NOP)
    return recognise_ends(code) or recognise_inline(code, address, inlines, favoured)


def recognise_static_call(site, code, address, inlines, favoured):
    if site.branch() >= BRANCH_JCC:
        if len(code) != 6 or code[0] != 0x0f or code[1] != (0x80 | site.branch() & 0xf):
            return None
        target = (address + 6 + read_displacement(code, 2)) & MASK
        return Form(ORIGINAL if target == site.form else DIRECT, target)
    form = recognise_pointer_call(site, code, address, inlines, favoured)
    if form and form.kind == DIRECT and form.target == site.form:
        return Form(ORIGINAL, form.target)
    return None if form and form.kind == ORIGINAL else form


def recognise_static_key(site, code, address):
    branch = find_branch(code, address)
    if len(code) == 2 and code[0] == JMP8:
        branch = JMP, (address + 2 + read_displacement(code, 1, 1)) & MASK
    if branch == (JMP, site.form):
        return Form(JUMP, site.form)
    return Form(NOP) if is_nop_run(code) else None


def recognise_lock_prefix(code):
    return {b"\xf0": Form(ORIGINAL), b"\x3e": Form(PREFIX)}.get(code)


def recognise(site, code, address, inlines, favoured):
    """The form of a site that is no alternative, or None."""
    if site.kind in (OP, TRAMPOLINE):
        return recognise_pointer_call(site, code, address, inlines, favoured)
    if site.kind == STATIC_CALL:
        return recognise_static_call(site, code, address, inlines, favoured)
    if site.kind == STATIC_KEY:
        return recognise_static_key(site, code, address)
    return recognise_lock_prefix(code) if site.kind == LOCK_PREFIX else None


def list_first_bytes(site, inlines):
    """What may have stood where an int3 stands: the likeliest first."""
    likely = [PAD, CALL, JMP, 0xff, 0x0f, JMP8, 0x66, 0x90, 0xc3, 0xf0, 0x3e]
    if site.kind != ALTERNATIVE:
        likely += [inline.bytes[0] for inline in inlines if inline.bytes]
    return list(dict.fromkeys(likely))
