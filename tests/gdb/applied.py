# SPDX-License-Identifier: MIT
"""A kernel before the library has run, after tp_apply, after tp_revert; and what it says of itself.

   nothing is read from a kernel that has not been loaded, and that is said
   before tp_apply each site is original; after tp_revert again
   between them what is said of each site, and its bytes, are what the kernel prints on its serial port
   keys: cell, value, number of sites; sites by key, function and address; file and line
   a disassembly has each site's form at its own boundaries
   bytes that are no form, and an int3 that is not the library's, are called that
"""

import os
import re
import sys

import gdb

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

SAVE_FL = "pv_ops.irq.save_fl"
FUNCTIONS = {"native": "tp_native_save_fl", "xen-pv": "tp_xen_pv_save_fl"}
INSTRUCTIONS = {"native": ["pushf", "pop"], "xen-pv": ["movzbl", "xor", "shl"]}


def count_stated(lines):
    return int(lines[0].split()[0])


def check_originals(claim):
    sites, lines = read_sites()
    others = [site.text for site in sites if not site.holds.startswith("original")]
    check_equal(others, [], f"{claim}: all sites are original")
    check_bytes(sites, f"{claim}: bytes as x shows them")
    check_equal(count_stated(lines), len(sites), f"{claim}: the number of sites")
    return sites


def check_save_fl(sites):
    function = FUNCTIONS[WORLD]
    own = [site for site in sites if site.what == f"op {SAVE_FL}"]
    check(len(own) == 5 and all(site.holds == f"inline form of {function}" for site in own),
          f"all 5 sites of {SAVE_FL} hold the inline form of {function}")
    text = "\n".join(ask(f"textpatch key {SAVE_FL}"))
    check(f"cell          {number_of(f'&{SAVE_FL}'):#x} <pv_ops>" in text, "the key's cell")
    check(f"value         {number_of(SAVE_FL):#x} <{function}>" in text, "the key's value")
    check("shows it" in text and "5 sites" in text, "the key's text and sites")
    check_equal([site.address for site in read_sites(SAVE_FL)[0]], [site.address for site in own], "sites by key")
    check_equal([site.address for site in read_sites(f"{own[0].address + 1:#x}")[0]], [own[0].address],
                "sites by an address in the middle of one")
    line = re.search(r"Line (\d+) of \"([^\"]*)\"", gdb.execute(f"info line *{own[0].address:#x}", to_string=True))
    check(own[0].place.endswith(f" {os.path.basename(line.group(2))}:{line.group(1)}"), "file and line")
    return own


def check_function(sites):
    here = number_of("&take_lock")
    wanted = [site.address for site in sites if site.place.startswith("take_lock+")]
    check_equal([site.address for site in read_sites("take_lock")[0]], wanted, "sites by function")
    lines = ask("textpatch disassemble take_lock")
    heads = [at for at, line in enumerate(lines) if line.startswith(f"   # op {SAVE_FL}, 14 bytes: inline form of")]
    check_equal(len(heads), 1, "the disassembly names the site")
    found = [line.split("\t")[2].split()[0] for line in lines[heads[0] + 1:][:len(INSTRUCTIONS[WORLD])]]
    check_equal(found, INSTRUCTIONS[WORLD], "the inline form, instruction by instruction")
    code = " ".join(line.split("\t")[1] for line in lines if "\t" in line)
    check_equal(code, examine(here, len(code.split())), "the disassembly's bytes are those of x, without a gap")


def check_foreign(site):
    """Bytes of the text are changed for a moment; the kernel doesn't run meanwhile."""
    kept = bytes.fromhex(site.bytes)
    write(site.address, b"\xcc")
    check("int3, not the library's" in find_one(read_sites()[0], site.address).holds, "an int3 of nobody's")
    write(site.address, b"\x0f\x0a")
    check_equal(find_one(read_sites()[0], site.address).holds, "bytes that are none of its forms", "unknown bytes")
    write(site.address, kept)
    check_equal(find_one(read_sites()[0], site.address).text, site.text, "the site as it was")


def read_log():
    """What the kernel printed: its number of sites, and for each address key, function, forms by length, instruction and bytes."""
    with open(os.path.join(WORK, "serial"), encoding="utf-8", errors="replace") as file:
        text = re.sub(r"\x1b\[[0-9;]*m|\r", "", file.read())
    number = int(re.search(r"^  sites +(\d+)$", text, re.MULTILINE).group(1))
    sites, key, site, is_now = {}, None, None, False
    for line in text[text.index("\n3. "):text.index("\n4. ")].splitlines():
        head = re.match(r"  (\S+) = (\S+): (\d+ sites? of .*)", line)
        first = re.match(r"    ([0-9a-f]{16})  was ", line)
        code = re.match(r" +(now)? +([0-9a-f]{2}(?: [0-9a-f]{2})*)  +(.*)", line)
        if head:
            kinds = re.findall(r"\d+ sites? of (\d+) bytes, (\w+)", head.group(3))
            forms = {(int(length), form) for length, form in kinds}
            key = (head.group(1), head.group(2), frozenset(forms))
        elif first:
            site = sites[int(first.group(1), 16)] = [*key, "", ""]
            is_now = False
        elif code and (is_now or code.group(1)):
            site[3] = site[3] or code.group(3)
            site[4] = f"{site[4]} {code.group(2)}".strip()
            is_now = True
    return number, sites


def is_of_form(site, function, form):
    holds = {"inline": [f"inline form of {function}"], "nop": ["NOP"], "return": ["ret"], "trap": ["ud2"],
             "direct": [f"direct call of {function}", f"direct jump of {function}"]}[form]
    return site.holds in holds


def fits(site, key, function, forms, instruction, code):
    """The kernel names the forms of a key's sites by their lengths."""
    length = len(code.split())
    named = {"ret": "ret", "NOP": "nop", "direct call": f"call {function}", "direct jump": f"jmp {function}"}
    words = next((words for start, words in named.items() if site.holds.startswith(start)), "")
    return site.what.endswith(f" {key}") and site.bytes == code and words in instruction and \
        any(is_of_form(site, function, form) for size, form in forms if size == length)


def check_against_log(sites):
    number, printed = read_log()
    check_equal(len(sites), number, "as many sites as the kernel counts")
    check_equal(sorted(printed), [site.address for site in sites], "the same addresses as the kernel prints")
    wrong = [(site.text, printed[site.address]) for site in sites
             if site.address in printed and not fits(site, *printed[site.address])]
    check_equal(wrong, [], "key, form, function and bytes of each site as the kernel prints them")
    check(len({form for site in printed.values() for _, form in site[2]}) >= 3, "of at least three forms")
    alike = {site.what for site in sites if fits(site, *printed[sites[0].address])}
    check_equal(alike, {sites[0].what}, "control: what is printed of the first site is so of no other key's")


def main():
    start()
    check_refused("textpatch sites", "has the kernel been loaded?")
    run_to("tp_apply")
    pristine = check_originals("before tp_apply")
    leave()
    sites, lines = read_sites()
    check(any("applied" in line for line in lines), "the image is applied")
    check_equal([site.address for site in sites], [site.address for site in pristine], "the same sites")
    check_bytes(sites, "applied: bytes as x shows them")
    own = check_save_fl(sites)
    check_function(sites)
    check_foreign(own[0])
    run_to("tp_revert")
    leave()
    check_originals("after tp_revert")
    run_to_end()
    check_against_log(sites)


main()
finish()
