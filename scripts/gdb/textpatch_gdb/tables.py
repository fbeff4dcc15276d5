# SPDX-License-Identifier: MIT
"""The library's tables (docs/record-abi.md), read from the target's memory and doubted field by field.

The kernel's are found by the linker fragment's symbols alone. Images that were added at run time hang in the list
`tp_registry.images`, whose layout comes from debug information.
"""

import struct

import gdb

from .memory import MASK, Trouble, find_symbol

ALTERNATIVE, OP, STATIC_CALL, TRAMPOLINE, STATIC_KEY, LOCK_PREFIX = range(1, 7)
KIND_NAMES = ("?", "alternative", "op", "static call", "trampoline", "static key", "lock prefix")
KEY_KIND_NAMES = ("?", "op slot", "static call", "static key")
STATIC_KEY_KEY = 3

BRANCH_CALL, BRANCH_JMP, BRANCH_JCC = 0x00, 0x01, 0x10
DETAIL_NOT, DETAIL_FEATURE, DETAIL_CHANGING = 0x8000, 0x01ff, 0x4000
RECORD_VERSION = 1

SITE = struct.Struct("<iiiBBH")
KEY = struct.Struct("<iiHHIQQ")
INLINE = struct.Struct("<iii")
INLINE_MAX = 15
RECORDS_MAX = 1 << 22
FAULTS_MAX = 64
IMAGES_MAX = 1024
WRONG_ELF = "Is the ELF that of the kernel that runs, and has the kernel been loaded?"
SECTIONS = ("sites", "keys", "inlines", "originals", "replacements")


def follow(field_address, value):
    """A self-relative field; 0 is none."""
    return (field_address + value) & MASK if value else None


class Site:
    def __init__(self, image, record, fields):
        text, key, form, self.length, kind, self.detail = fields
        self.image, self.record = image, record
        self.address = (record + text) & MASK
        self.key, self.form = follow(record + 4, key), follow(record + 8, form)
        self.kind, self.version = kind & 0xf, (kind & 0x7f) >> 4
        self.end = self.address + self.length

    def has_key(self):
        return OP <= self.kind <= STATIC_KEY

    def branch(self):
        return self.detail & 0xff

    def is_changing(self):
        return bool(self.detail & DETAIL_CHANGING)

    def find_fault(self):
        if self.version != RECORD_VERSION:
            return f"version {self.version} of records is not the one that this script knows, {RECORD_VERSION}"
        if not ALTERNATIVE <= self.kind <= LOCK_PREFIX:
            return f"there is no kind {self.kind} of sites"
        if self.length == 0:
            return "a site of no bytes"
        if self.has_key() and (self.key is None or self.key % 8):
            return "a site without a key's cell"
        if self.kind == ALTERNATIVE and (self.form is None or self.key is None):
            return "an alternative without forms"
        if not self.image.may_hold(self.address):
            return f"a site at {self.address:#x}, outside its image"
        return None

    def order(self):
        return self.address, -self.length, self.kind, -(self.key or 0)


class Key:
    def __init__(self, memory, image, record, fields):
        cell, name, self.kind, self.reserved, self.noted, self.applied, self.wanted = fields
        self.image, self.record = image, record
        self.cell, self.name_at = (record + cell) & MASK, (record + 4 + name) & MASK
        self.memory = memory
        self.name = "?"

    def find_fault(self):
        if not 1 <= self.kind <= STATIC_KEY_KEY or self.reserved:
            return f"there is no kind {self.kind} of keys"
        if self.cell % 8:
            return f"a cell at {self.cell:#x}, which is not aligned"
        try:
            self.name = self.memory.read_name(self.name_at)
        except Trouble as trouble:
            return str(trouble)
        return None

    def read(self):
        return self.memory.read_number(self.cell, 8)


class Inline:
    def __init__(self, memory, image, record, fields):
        self.image, self.record = image, record
        self.function, self.start, end = ((record + 4 * i + field) & MASK for i, field in enumerate(fields))
        self.length = end - self.start
        self.memory = memory
        self.bytes = b""

    def find_fault(self):
        if not 0 <= self.length <= INLINE_MAX:
            return f"an inline form of {self.length} bytes"
        try:
            self.bytes = self.memory.read(self.start, self.length)
        except Trouble as trouble:
            return str(trouble)
        return None


class Image:
    """The tables of one linked object. What is wrong with a record is in `faults`, and the record left out."""

    def __init__(self, name, spans, text=None, is_known=True, is_applied=True):
        self.name, self.spans, self.text = name, spans, text
        self.is_known, self.is_applied = is_known, is_applied
        self.faults = []
        self.places, self.templates, self.keys, self.inlines = [], [], [], []

    def lies_in(self, section, address):
        start, end = self.spans[section]
        return start <= address < end

    def may_hold(self, address):
        if self.lies_in("originals", address) or self.lies_in("replacements", address):
            return True
        return self.text is None or self.text[0] <= address < self.text[1]

    def read_table(self, memory, section, layout, make):
        start, end = self.spans[section]
        size = end - start
        if size < 0 or size % layout.size or size // layout.size > RECORDS_MAX:
            raise Trouble(f"{self.name}: the table of {section}, {start:#x} to {end:#x}, is no array of "
                          f"{layout.size}-byte records")
        records = []
        for at in range(size // layout.size):
            address = start + at * layout.size
            record = make(address, layout.unpack(memory.read(address, layout.size)))
            fault = record.find_fault()
            if not fault:
                records.append(record)
                continue
            self.faults.append(f"{self.name}: record {at} of {section}, at {address:#x}: {fault}")
            if len(self.faults) > FAULTS_MAX and len(self.faults) > at // 2:
                raise Trouble(f"{self.faults[0]} … {WRONG_ELF}")
        return records

    def read(self, memory):
        self.keys = self.read_table(memory, "keys", KEY, lambda at, fields: Key(memory, self, at, fields))
        self.inlines = self.read_table(memory, "inlines", INLINE,
                                       lambda at, fields: Inline(memory, self, at, fields))
        sites = self.read_table(memory, "sites", SITE, lambda at, fields: Site(self, at, fields))
        sites.sort(key=Site.order)
        self.templates = [site for site in sites if self.lies_in("replacements", site.address)]
        self.places = [site for site in sites if not self.lies_in("replacements", site.address)
                       and not self.lies_in("originals", site.address)]


class Tables:
    """All images, and what is common to them."""

    def __init__(self, memory):
        self.memory = memory
        self.notes = []
        self.features = None
        registered = self.read_registry()
        self.images = self.join(read_kernel_spans(), registered)
        for image in self.images:
            image.read(memory)
            self.doubt(image)
        self.keys = {key.cell: key for image in self.images for key in image.keys}
        self.inlines = [inline for image in self.images for inline in image.inlines]

    def doubt(self, image):
        good = len(image.places) + len(image.templates) + len(image.keys) + len(image.inlines)
        if image.faults and len(image.faults) >= good:
            raise Trouble(f"{image.faults[0]} ({len(image.faults)} bad records in all). {WRONG_ELF}")
        self.notes += image.faults[:4]
        if len(image.faults) > 4:
            self.notes.append(f"{image.name}: {len(image.faults) - 4} more bad records")

    def join(self, spans, registered):
        if spans is None and not registered:
            raise Trouble("no symbols __tp_sites …: is the kernel linked with linker/textpatch.ld, and does the ELF "
                          "have its symbols?")
        if spans is None or any(image.spans["sites"][0] == spans["sites"][0] for image in registered):
            return registered
        return [Image("kernel", spans, is_known=False, is_applied=False)] + registered

    def read_registry(self):
        try:
            registry = find_registry()
            images, applied = registry["images"], registry["applied"]["features"]
            low, high = applied.type.range()
            self.features = [int(applied[word]) for word in range(low, high + 1)]
        except gdb.MemoryError as error:
            raise Trouble(f"tp_registry can't be read ({error}): has the kernel been loaded?") from None
        except (gdb.error, TypeError, RuntimeError) as error:
            self.notes.append(f"only what the kernel is linked with is shown, no image of run time: {error}")
            return []
        return self.read_list(images)

    def read_list(self, pointer):
        images, seen = [], set()
        try:
            while int(pointer):
                if int(pointer) in seen or len(images) == IMAGES_MAX:
                    raise Trouble("it has no end")
                seen.add(int(pointer))
                images.append(self.read_image(pointer.dereference()))
                pointer = pointer["next"]
        except (gdb.error, Trouble) as error:
            self.notes.append(f"the list of images is damaged behind {len(images)} of them: {error}")
        return images

    def read_image(self, value):
        def number(field):
            return int(value[field]) & MASK

        def table(field, size):
            return number(field + "s"), number(field + "s") + size * number(field + "_count")

        spans = {"sites": table("site", SITE.size), "keys": table("key", KEY.size),
                 "inlines": table("inline", INLINE.size),
                 "originals": (number("originals"), number("originals_end")),
                 "replacements": (number("replacements"), number("replacements_end"))}
        return Image(self.memory.read_name(number("name")), spans, (number("text_start"), number("text_end")),
                     is_applied=bool(value["applied"]))

    def is_chosen(self, site):
        """Whether an alternative's replacement is what the library applied; None if that can't be known."""
        if self.features is None or not site.image.is_known:
            return None
        feature = site.detail & DETAIL_FEATURE
        if not site.image.is_applied or feature // 32 >= len(self.features):
            return False
        return bool(self.features[feature // 32] >> feature % 32 & 1) != bool(site.detail & DETAIL_NOT)


def find_registry():
    """Not by an expression, whose evaluation looks at frames."""
    symbol = gdb.lookup_global_symbol("tp_registry")
    if symbol is None:
        raise gdb.error("there is no debug information of tp_registry")
    return symbol.value()


def name_images():
    """Where the images' structs are: as long as these are the same, so are their sites."""
    names = [find_symbol("__tp_sites")]
    try:
        pointer = find_registry()["images"]
        while int(pointer) and int(pointer) not in names and len(names) <= IMAGES_MAX:
            names.append(int(pointer))
            pointer = pointer["next"]
    except gdb.error:
        pass
    return names


def read_kernel_spans():
    spans = {}
    for section in SECTIONS:
        start, end = find_symbol(f"__tp_{section}"), find_symbol(f"__tp_{section}_end")
        if start is None or end is None:
            return None
        spans[section] = start, end
    return spans
