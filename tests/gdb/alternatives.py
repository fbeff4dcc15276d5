# SPDX-License-Identifier: MIT
"""Alternatives: several replacements at a place, NOT, nested in an original and in a replacement, moved operands.

Behind each tp_apply() of the suite the value that a place's own bytes load says which form stands there; that must be
what is said of each of its records, in all combinations of the three features.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["TP_TREE"], "tests", "gdb"))
from checks import *  # noqa: E402,F403

A, B, C = ("feature 13*32+8", "feature 13*32+9", "feature 13*32+10")
ROUNDS = 17
BY_VALUE = {1: None, 2: A, 3: B}
THREE = {"b8 01": None, "31 c0": A, "48 c7": B, "48 b8": C}


def expect_place(chosen, all_features):
    """Holdings of the records of one place, as a sorted list."""
    if not chosen:
        return sorted("original" for _ in all_features)
    return sorted(f"replacement for {chosen}" if feature == chosen else f"covered by the replacement for {chosen}"
                  for feature in all_features)


def load(function):
    """The value of the `mov $value, %eax` that the place begins with."""
    code = bytes.fromhex(examine(number_of(f"&{function}"), 5).replace(" ", ""))
    return int.from_bytes(code[1:], "little") if code[0] == 0xb8 else None


def holdings(sites, function):
    return sorted(site.holds for site in sites if site.address == number_of(f"&{function}"))


def check_round(sites, language, seen):
    wrong = []

    def expect(name, wanted):
        found = holdings(sites, f"{language}_{name}")
        seen.add((name, *found))
        if found != wanted:
            wrong.append((f"{language}_{name}", found, wanted))

    expect("two", expect_place(BY_VALUE[load(f"{language}_two")], [A, B]))
    expect("three", expect_place(THREE[examine(number_of(f"&{language}_three"), 2)], [A, B, C]))
    unless = load(f"{language}_unless") == 2
    expect("unless", [f"replacement for not {A}" if unless else "original"])
    # Its original is an alternative of the same place: to the library they are two alternatives, as above.
    expect("outer", expect_place(BY_VALUE[load(f"{language}_outer")], [A, B]))
    expect("inner", ["original" if load(f"{language}_inner") == 1 else f"replacement for {B}"])
    called = "alternative_two" if "alternative_two" in gdb.execute(f"x/i {language}_call", to_string=True) else None
    expect("call", [f"replacement for {A}" if called else "original"])
    moved = examine(number_of(f"&{language}_load"), 1) == "8b"
    expect("load", [f"replacement for {A}" if moved else "original"])
    return wrong


def main():
    start()
    wrong, unknown, seen = [], [], set()
    for _ in range(ROUNDS):
        run_to("tp_apply")
        leave()
        sites, _ = read_sites()
        unknown += [site.text for site in sites if "none of its forms" in site.holds]
        for language in ("gas", "nasm"):
            wrong += check_round(sites, language, seen)
    check_equal(wrong, [], "what is said of each alternative is what its bytes load")
    check_equal(unknown, [], "no site holds anything that isn't known")
    check(len([form for form in seen if form[0] == "three"]) == 4, "all four forms of the place of three")
    check(len([form for form in seen if form[0] == "outer"]) == 3, "all three forms of the nested place")
    print(f"# {len(seen)} different answers in {ROUNDS} rounds")


main()
finish()
