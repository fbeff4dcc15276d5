# SPDX-License-Identifier: MIT
"""Tables full of garbage: each command answers with lines or with one sentence, never with a Python traceback.

   bytes of the tables, of the registry and of an image's struct are changed at random, and all commands asked
   a record of another version, an unknown kind, a key without a name are named, and the rest is shown
   no word, no function: the commands, the selected frame's function
   an undamaged table afterwards: the same answers as before
"""

import os
import random
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

ROUNDS = 60
COMMANDS = ("textpatch sites", "textpatch key", "textpatch key pv_ops.irq.save_fl", "textpatch disassemble take_lock",
            "textpatch sites take_lock")
NONSENSE = {"textpatch key no.such.key": "no key has the name", "textpatch sites ((": "no key, function or address",
            "textpatch disassemble 16": "No function contains",
            "textpatch disassemble no_such_function": "no function or address"}
AMOUNTS = (1, 1, 4, 40, 400)


def ask_all(count):
    """What is neither an answer nor a sentence."""
    bad = []
    for command in COMMANDS:
        message = find_refusal(command)
        count["refused" if message else "answered"] += 1
        if message and not message.startswith("textpatch: "):
            bad.append((command, message))
    return bad


def damage(start, data, generator):
    changed = bytearray(data)
    for _ in range(generator.choice(AMOUNTS)):
        changed[generator.randrange(len(data))] = generator.choice((0, 1, 0x7f, 0x80, 0xff, generator.randrange(256)))
    write(start, changed)


def read(start, size):
    return bytes(gdb.selected_inferior().read_memory(start, size))


def check_random(name, start, size):
    kept, count, bad = read(start, size), {"refused": 0, "answered": 0}, []
    for seed in range(ROUNDS):
        damage(start, kept, random.Random(f"{name} {seed}"))
        bad += [(seed, *failure) for failure in ask_all(count)]
        write(start, kept)
    check_equal(bad, [], f"{name}: {ROUNDS} times damaged, {count['answered']} answers, {count['refused']} sentences")


def check_named(address, data, words):
    kept = read(address, len(data))
    write(address, data)
    lines = ask("textpatch sites")
    shown = [line for line in lines if line.startswith("0x")]
    check(any(words in line for line in lines) and len(shown) >= 50, f"damage is named: {words}")
    print(f"#   {lines[0]}")
    write(address, kept)


def main():
    start()
    run_to("tp_apply")
    leave()
    before = [ask(command) for command in COMMANDS]
    for command, words in NONSENSE.items():
        check_refused(command, words)
    check_equal(ask("textpatch disassemble"), ask("textpatch disassemble $pc"), "no function: the frame's")
    check(any("textpatch backtrace" in line for line in ask("textpatch")), "no command: all of them")
    sites, keys = number_of("&__tp_sites"), number_of("&__tp_keys")
    check_named(sites + 13, b"\x22", "version 2 of records")
    check_named(sites + 13, b"\x1f", "there is no kind 15 of sites")
    check_named(sites + 12, b"\x00", "a site of no bytes")
    check_named(sites, b"\x00\x00\x00\x70", "outside its image")
    check_named(keys + 8, b"\x09", "there is no kind 9 of keys")
    check_named(keys + 4, b"\x00\x00\x00\x80", "can't be read")
    tables = number_of("&__tp_start")
    check_random("the tables", tables, number_of("&__tp_replacements_end") - tables)
    check_random("the image", number_of("tp_registry.images"), number_of("sizeof(struct tp_image)"))
    check_random("the registry", number_of("&tp_registry"), number_of("sizeof(tp_registry)"))
    check_equal([ask(command) for command in COMMANDS], before, "undamaged again: the same answers")
    write(tables, bytes(number_of("&__tp_index") - tables))
    check_refused("textpatch sites", "Is the ELF that of the kernel that runs")


main()
finish()
