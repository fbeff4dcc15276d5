# SPDX-License-Identifier: MIT
"""GDB and the text of a kernel that uses textpatch.

    (gdb) source textpatch/scripts/gdb/textpatch.py
    (gdb) textpatch sites [KEY|FUNCTION|ADDRESS]    each site, and what its bytes hold now
    (gdb) textpatch key [NAME]                      a cell, its value, what the text shows of it, its sites
    (gdb) textpatch disassemble [FUNCTION|ADDRESS]  with sites marked, decoded by what is there now
    (gdb) textpatch backtrace                       by the kernel's own unwind tables, over all stacks

GDB's own `bt` uses these tables where DWARF knows nothing or is wrong: inside patched sites, in entry code and in
trampolines (`disable unwinder global textpatch` leaves them out).

All is read from the target's memory: sites by the records between the linker fragment's symbols (__tp_sites …),
images that were added at run time by the library's list, for which the library must have debug information. Without a
target it is the ELF that is shown. GDB 12 or newer, with Python.
"""

import os
import sys

import gdb
import gdb.unwinder

# Not __file__, which is another's where one Python file sources another.
sys.path.insert(0, os.path.dirname(os.path.abspath((lambda: None).__code__.co_filename)))

from textpatch_gdb.listing import list_function  # noqa: E402
from textpatch_gdb.memory import Memory, Trouble  # noqa: E402
from textpatch_gdb.places import Places  # noqa: E402
from textpatch_gdb.report import complete_keys, report_key, report_keys, report_sites  # noqa: E402
from textpatch_gdb.tables import Tables  # noqa: E402
from textpatch_gdb.unwinder import Knowledge, OrcUnwinder, report_backtrace  # noqa: E402


class TextpatchCommand(gdb.Command):
    """Sites, keys and code of a kernel that uses textpatch.

textpatch sites [KEY|FUNCTION|ADDRESS]
textpatch key [NAME]
textpatch disassemble [FUNCTION|ADDRESS]
textpatch backtrace"""

    def __init__(self):
        super().__init__("textpatch", gdb.COMMAND_DATA, prefix=True)

    def invoke(self, argument, from_tty):
        gdb.execute("help textpatch")


class Subcommand(gdb.Command):
    """A command that looks at the tables anew each time, since the target runs in between."""

    def __init__(self):
        super().__init__(f"textpatch {self.word}", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        try:
            tables = Tables(Memory())
            lines = self.answer(Places(tables), argument.strip())
        except (Trouble, gdb.error) as trouble:
            raise gdb.GdbError(f"textpatch: {trouble}") from None
        for note in tables.notes:
            gdb.write(f"textpatch: {note}\n", gdb.STDERR)
        gdb.write("".join(line + "\n" for line in lines))


class SitesCommand(Subcommand):
    """textpatch sites [KEY|FUNCTION|ADDRESS]: each site, and what its bytes hold now.

One line each: address, length, kind and key, what the bytes are, symbol+offset, file:line, the bytes. A site whose
first byte is the int3 of a batch under way says so, and which form the bytes behind it belong to.
With an argument only the sites of a key, in a function, or at an address."""

    word = "sites"

    def answer(self, places, argument):
        return report_sites(places, argument)

    def complete(self, text, word):
        return complete_keys(text, word)


class KeyCommand(Subcommand):
    """textpatch key [NAME]: a key's cell, its value, what the text shows of it, and its sites.

Without a name a list of all keys."""

    word = "key"

    def answer(self, places, argument):
        return report_key(places, argument) if argument else report_keys(places)

    def complete(self, text, word):
        return complete_keys(text, word)


class DisassembleCommand(Subcommand):
    """textpatch disassemble [FUNCTION|ADDRESS]: a function from the target's memory, its sites marked.

Without an argument the selected frame's function. Decoding starts anew where a site begins and ends, and what stands behind the int3 of a batch is shown as bytes."""

    word = "disassemble"

    def answer(self, places, argument):
        return list_function(places, argument)

    def complete(self, text, word):
        return gdb.COMPLETE_SYMBOL


class BacktraceCommand(gdb.Command):
    """textpatch backtrace: who called whom, by the kernel's own unwind tables alone.

From the innermost frame of the selected thread, over interrupts and all stacks, to where nobody called."""

    def __init__(self, knowledge):
        super().__init__("textpatch backtrace", gdb.COMMAND_STACK)
        self.knowledge = knowledge

    def invoke(self, argument, from_tty):
        try:
            lines = report_backtrace(self.knowledge)
        except (Trouble, gdb.error) as trouble:
            raise gdb.GdbError(f"textpatch: {trouble}") from None
        gdb.write("".join(line + "\n" for line in lines))


TextpatchCommand()
SitesCommand()
KeyCommand()
DisassembleCommand()
known = Knowledge()
BacktraceCommand(known)
gdb.unwinder.register_unwinder(None, OrcUnwinder(known), replace=True)
