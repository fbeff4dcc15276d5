# SPDX-License-Identifier: MIT
"""Backtraces at every instruction: inside patched sites, in what they call, in entry code and on the way back.

   the kernel is stepped through; GDB's bt and `textpatch backtrace` must both end, at each step, with the callers that
   were there at the first one
   a table full of garbage brings no exception
   control: without the unwinder GDB is wrong between pushf and pop, and in entry code
"""

import os
import random
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

STEPS_MAX = 400
DAMAGES = 100
CONTROL = "disable unwinder global textpatch", "enable unwinder global textpatch"


def list_by_tables():
    lines = ask("textpatch backtrace")
    complete = lines[-1] == "nobody called"
    return [int(line.split()[1], 16) for line in lines if line.startswith("#")] if complete else lines[-1:]


class Tally:
    def __init__(self, callers):
        self.callers = callers
        self.steps = self.control = 0
        self.wrong = []

    def take(self, own, claim):
        """Two witnesses, who must agree: GDB, which goes by DWARF but for frames that it is told of; and the tables.
        `own`: how many frames there are before the callers, at least."""
        self.steps += 1
        frames = list_by_tables()
        if not self.is_right(frames, own) or list_by_gdb() != frames:
            self.wrong.append((claim, list_by_gdb(), frames))

    def is_right(self, frames, own):
        return frames[-len(self.callers):] == self.callers and len(frames) >= own + len(self.callers)

    def take_control(self):
        frames = list_by_tables()
        gdb.execute(CONTROL[0], to_string=True)
        try:
            self.control += list_by_gdb() != frames
        except gdb.error:
            self.control += 1
        gdb.execute(CONTROL[1], to_string=True)


def is_done(stack, start):
    return number_of("$sp") > stack and number_of("$pc") != start


def step_through(function):
    """From a function's first instruction to behind its return."""
    run_to(f"*{function}")
    stack, start = number_of("$sp"), number_of("$pc")
    tally = Tally(list_by_tables()[1:])
    while not is_done(stack, start) and tally.steps < STEPS_MAX:
        tally.take(1, f"{function}: {number_of('$pc'):#x}")
        tally.take_control()
        gdb.execute("stepi", to_string=True)
    check_equal(tally.wrong[:3], [], f"{function}: {tally.steps} steps, each with {len(tally.callers)} callers")
    check(tally.callers and tally.steps > 3, f"{function}: there was something to see")
    return tally


def step_into_exception():
    """From the vector's code to the handler; an interrupt comes while call_safe_halt waits for one."""
    run_to("*call_safe_halt")
    callers = list_by_tables()[1:]
    run_to("*exception_common")
    tally = Tally(callers)
    while tally.steps < 60 and find_name() == "exception_common":
        tally.take(2, f"entry: {number_of('$pc'):#x}")
        tally.take_control()
        gdb.execute("stepi", to_string=True)
    check_equal(tally.wrong[:3], [], f"entry code: {tally.steps} steps")
    check(tally.steps > 15, "entry code: there was something to see")
    check(tally.control > 0, f"control: without the unwinder {tally.control} steps are wrong")


def check_garbage():
    """A damaged table, damaged sites: a backtrace that may be short or wrong, and no exception."""
    start, end = number_of("&__tp_sites"), number_of("&__tp_orc_end")
    kept, before, bad, shorter = gdb.selected_inferior().read_memory(start, end - start), list_by_tables(), [], 0
    for seed in range(DAMAGES):
        generator, changed = random.Random(seed), bytearray(kept)
        for _ in range(generator.choice((1, 20, 400, 4000))):
            changed[generator.randrange(len(changed))] = generator.choice((0, 0x80, 0xff, generator.randrange(256)))
        head = number_of("&__tp_orc") - start
        if seed % 2:
            changed[head + generator.randrange(16)] = generator.randrange(256)
        write(start, changed)
        gdb.invalidate_cached_frames()
        message = find_refusal("textpatch backtrace")
        if message is not None and not message.startswith("textpatch: "):
            bad.append((seed, message))
        shorter += message is not None or list_by_tables() != before
        gdb.execute("bt 20", to_string=True)
    write(start, bytes(kept))
    gdb.invalidate_cached_frames()
    check_equal(bad, [], f"{DAMAGES} damaged tables: lines or a sentence")
    check(shorter > DAMAGES // 4, f"{shorter} of them to be seen in the backtrace")
    check_equal(list_by_tables(), before, "and back")


def find_name():
    return gdb.execute("info symbol $pc", to_string=True).split()[0]


def main():
    start()
    run_to("tp_apply")
    leave()
    tally = step_through("call_save_fl")
    if WORLD == "native":
        check(tally.control == 1, f"control: without the unwinder {tally.control} step is wrong, that behind pushf")
    step_through("call_restore_fl")
    if WORLD == "native":
        step_into_exception()
    check_garbage()


main()
finish()
