# SPDX-License-Identifier: MIT
"""What each site holds now: records and bytes put together, place by place.

A place is an outermost site with all that lies in it. Of an alternative's place the text holds one replacement, and
then what lies in it is covered, or the original, and then each site in it has a form of its own.
"""

import os
import re

from . import forms
from .forms import Form
from .memory import Trouble, name_address
from .tables import (ALTERNATIVE, BRANCH_CALL, BRANCH_JCC, DETAIL_FEATURE, DETAIL_NOT, KIND_NAMES, STATIC_CALL,
                     STATIC_KEY, TRAMPOLINE)

INT3 = forms.INT3
DEPTH_MAX = 16

# The `trap` of a Holding whose first byte is an int3.
OF_BATCH, FOREIGN = "int3 of a batch", "int3, not the library's"


class Holding:
    """One site and what it holds: a Form; of a site whose first byte is an int3 that of the bytes behind it."""

    def __init__(self, site, key=None):
        self.site, self.key = site, key

    def take(self, code):
        self.code = code
        self.form = Form(forms.UNKNOWN)
        self.trap = None
        self.covered_by = None


class LateHolding(Holding):
    """Reads and compares nothing before it is asked: a kernel may have very many sites."""

    def __init__(self, site, key, settle):
        super().__init__(site, key)
        self.settle = settle

    def __getattr__(self, name):
        if name not in ("code", "form", "trap", "covered_by"):
            raise AttributeError(name)
        self.settle()
        return self.__dict__[name]


class Places:
    def __init__(self, tables):
        self.tables, self.memory = tables, tables.memory
        self.holdings = []
        self.by_site = {}
        self.depth = 0
        for image in tables.images:
            for place in split_into_places(image.places):
                self.take_place(place)

    def take_place(self, records):
        for site in records:
            key = self.tables.keys.get(site.key) if site.has_key() else None
            holding = LateHolding(site, key, lambda: self.settle_place(records))
            self.holdings.append(holding)
            self.by_site[site] = holding

    def settle_place(self, records):
        for site in records:
            self.by_site[site].take(self.read_code(site))
        outer = records[0]
        if self.by_site[outer].code:
            self.settle(records, self.by_site[outer].code, outer.address, self.by_site)

    def read_code(self, site):
        try:
            return self.memory.read(site.address, site.length)
        except Trouble as trouble:
            self.tables.notes.append(str(trouble))
            return b""

    def settle(self, records, code, address, holdings):
        """Finds the forms of records, the outermost first, whose place holds `code` at `address`."""
        if code[:1] == bytes([INT3]):
            self.settle_behind_int3(records, code, address, holdings)
        else:
            self.settle_whole(records, code, address, holdings)

    def settle_behind_int3(self, records, code, address, holdings):
        outer = records[0]
        for first in forms.list_first_bytes(outer, self.tables.inlines) + self.list_own_first_bytes(records):
            self.settle_whole(records, bytes([first]) + code[1:], address, holdings)
            if holdings[outer].form.kind != forms.UNKNOWN:
                break
        changing = any(site.is_changing() for site in records)
        for site in records:
            if site.address == outer.address:
                holdings[site].trap = OF_BATCH if changing else FOREIGN

    def list_own_first_bytes(self, records):
        found = []
        for site in records:
            for form in (site.key, site.form) if site.kind == ALTERNATIVE else ():
                pattern = self.read_form(form)
                if pattern:
                    found.append(pattern[1][0])
        return found

    def settle_whole(self, records, code, address, holdings):
        outer = records[0]
        if outer.kind != ALTERNATIVE:
            self.settle_plain(outer, code, address, holdings[outer])
            return
        same = [site for site in records if (site.address, site.length) == (outer.address, outer.length)]
        alternatives = [site for site in same if site.kind == ALTERNATIVE]
        chosen = self.choose_replacement(alternatives, code, address)
        if chosen:
            for site in records:
                covered = site is not chosen
                holdings[site].form = Form(forms.COVERED if covered else forms.REPLACEMENT, chosen.key)
                holdings[site].covered_by = chosen if covered else None
            return
        self.settle_original(records, alternatives, code, address, holdings)

    def settle_plain(self, site, code, address, holding):
        key = self.tables.keys.get(site.key) if site.has_key() else None
        favoured = [] if key is None else [key.applied, self.read_cell(key)]
        form = forms.recognise(site, code, address, self.tables.inlines, favoured)
        holding.form = form or Form(forms.UNKNOWN)

    def read_cell(self, key):
        try:
            return key.read()
        except Trouble:
            return None

    def choose_replacement(self, alternatives, code, address):
        """Where a replacement can't be told from the original by its bytes, the library's own state decides."""
        candidates = [site for site in alternatives if self.holds_replacement(site, code, address)]
        if not candidates:
            return None
        decided = [site for site in candidates if self.tables.is_chosen(site)]
        if decided:
            return decided[0]
        undecided = [site for site in candidates if self.tables.is_chosen(site) is None]
        if undecided:
            return undecided[0]
        return None if self.holds_original(alternatives[0], code, address) else candidates[0]

    def read_form(self, at):
        """(address, bytes) of a form out of line."""
        try:
            length = self.memory.read_number(at, 1)
            return at + 1, self.memory.read(at + 1, length)
        except (Trouble, TypeError):
            return None

    def holds_replacement(self, site, code, address):
        form = self.read_form(site.key)
        if not form or self.depth == DEPTH_MAX:
            return False
        origin, pattern = form
        inner = [template for template in site.image.templates
                 if origin <= template.address and template.end <= origin + len(pattern)]
        skip = list_offsets(inner, origin)
        if not forms.holds_code(code, address, pattern, origin, skip):
            return False
        self.depth += 1
        good = all(self.holds_template(place, code, address, origin) for place in split_into_places(inner))
        self.depth -= 1
        return good

    def holds_template(self, records, code, address, origin):
        at = records[0].address - origin
        scratch = {site: Holding(site) for site in records}
        part = code[at:at + records[0].length]
        if not part:
            return False
        for holding in scratch.values():
            holding.take(part)
        self.settle(records, part, address + at, scratch)
        return scratch[records[0]].form.kind != forms.UNKNOWN

    def holds_original(self, site, code, address, skip=()):
        form = self.read_form(site.form)
        return bool(form) and forms.holds_code(code, address, form[1], form[0], skip)

    def settle_original(self, records, alternatives, code, address, holdings):
        inner = records[len(alternatives):]
        skip = list_offsets(inner, records[0].address)
        for place in split_into_places(inner):
            at = place[0].address - records[0].address
            self.settle(place, code[at:at + place[0].length], address + at, holdings)
        good = self.holds_original(alternatives[0], code, address, skip)
        for site in alternatives:
            holdings[site].form = Form(forms.ORIGINAL if good else forms.UNKNOWN)


def split_into_places(sites):
    """Lists of sites, each with an outermost one first. Sites are in order."""
    places, end = [], 0
    for site in sites:
        if places and site.address < end:
            places[-1].append(site)
        else:
            places.append([site])
            end = site.end
    return places


def list_offsets(sites, origin):
    return frozenset(offset for site in sites for offset in range(site.address - origin, site.end - origin))


# ---- Words ----

def read_feature_names():
    """From the header beside this script, if it is there."""
    header = os.path.join(os.path.dirname(__file__), "..", "..", "..", "include", "textpatch", "feature.h")
    try:
        with open(header, encoding="utf-8") as file:
            found = re.findall(r"#define TP_FEATURE_(\w+) \((\d+) \* 32 \+ (\d+)\)", file.read())
    except OSError:
        return {}
    return {int(word) * 32 + int(bit): name.lower() for name, word, bit in found}


FEATURE_NAMES = read_feature_names()


def name_feature(site):
    feature = site.detail & DETAIL_FEATURE
    name = FEATURE_NAMES.get(feature, f"feature {feature // 32}*32+{feature % 32}")
    return f"not {name}" if site.detail & DETAIL_NOT else name


def name_kind(site):
    if site.has_key() and site.kind != STATIC_KEY and site.branch() != BRANCH_CALL and site.kind != TRAMPOLINE:
        return KIND_NAMES[site.kind] + (" jcc" if site.branch() >= BRANCH_JCC else " jmp")
    return KIND_NAMES[site.kind]


def name_site(holding):
    kind = name_kind(holding.site)
    return f"{kind} {holding.key.name}" if holding.key else kind


def name_branch(site):
    if site.branch() >= BRANCH_JCC and site.kind == STATIC_CALL:
        return "jcc"
    return "call" if site.branch() == BRANCH_CALL else "jump"


def word_form(holding):
    site, form = holding.site, holding.form
    if form.kind == forms.ORIGINAL and site.has_key():
        through = name_address(site.form if site.kind == STATIC_CALL else site.key)
        return f"original: {name_branch(site)} {'of' if site.kind == STATIC_CALL else 'through'} {through}"
    if form.kind == forms.DIRECT:
        return f"direct {name_branch(site)} of {name_address(form.target)}"
    if form.kind == forms.INLINE:
        return f"inline form of {name_address(form.target)}"
    if form.kind == forms.JUMP:
        return f"jump to {name_address(form.target)}"
    if form.kind == forms.REPLACEMENT:
        return f"replacement for {name_feature(site)}"
    if form.kind == forms.COVERED:
        return f"covered by the replacement for {name_feature(holding.covered_by)}"
    if form.kind == forms.PREFIX:
        return "ds prefix in place of lock"
    if form.kind == forms.UNKNOWN:
        return "bytes that are none of its forms"
    return form.kind


def word_holding(holding):
    if not holding.code:
        return "can't be read"
    if holding.trap and holding.form.kind == forms.UNKNOWN:
        return holding.trap
    if holding.trap:
        return f"{holding.trap}; behind it: {word_form(holding)}"
    if holding.site.is_changing():
        return f"{word_form(holding)}; a batch is about to write it"
    return word_form(holding)
