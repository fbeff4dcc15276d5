# SPDX-License-Identifier: MIT
"""The answers to `textpatch sites` and `textpatch key`, as lines."""

from . import forms
from .memory import Memory, Trouble, evaluate, find_line, find_place, name_address
from .places import OF_BATCH, name_site, word_holding
from .tables import KEY_KIND_NAMES, STATIC_KEY_KEY, Tables

BYTES_SHOWN = 16


# ---- Sites ----

def find_holdings(places, wanted):
    """The sites that an argument of the user's means."""
    by_key = [holding for holding in places.holdings if holding.key and holding.key.name == wanted]
    if by_key:
        return by_key
    in_function = [holding for holding in places.holdings if find_place(holding.site.address)[0] == wanted]
    if in_function:
        return in_function
    address = evaluate(wanted)
    if address is None:
        raise Trouble(f"no key, function or address: {wanted}")
    return [holding for holding in places.holdings if holding.site.address <= address < holding.site.end]


def word_place(address):
    symbol, offset = find_place(address)
    place = f"{symbol}+{offset}" if symbol else "in no symbol"
    line = find_line(address)
    return f"{place} {line}" if line else place


def word_bytes(code):
    return code[:BYTES_SHOWN].hex(" ") + (" …" if len(code) > BYTES_SHOWN else "")


def list_sites(holdings):
    rows = [(f"{holding.site.address:#x}", f"{holding.site.length:3}", name_site(holding), word_holding(holding),
             word_place(holding.site.address), word_bytes(holding.code)) for holding in holdings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
    return ["  ".join([cell.ljust(width) for cell, width in zip(row, widths)] + [row[5]]).rstrip() for row in rows]


def count(number, word):
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def word_counts(places, holdings):
    trapped = sum(holding.trap == OF_BATCH for holding in holdings)
    unknown = sum(holding.form.kind == forms.UNKNOWN for holding in holdings)
    line = count(len(holdings), "site")
    if trapped:
        line += f", {trapped} with an int3 of a batch"
    if unknown:
        line += f", {unknown} with bytes that are none of their forms"
    return line


def word_image(image):
    if not image.is_known:
        state = "not added yet"
    else:
        state = "applied" if image.is_applied else "not applied yet"
    return f"{image.name}: {count(len(image.places), 'site')}, {count(len(image.keys), 'key')}, {state}"


def report_sites(places, wanted):
    if wanted:
        holdings = find_holdings(places, wanted)
        return list_sites(holdings) + [f"{word_counts(places, holdings)} by {wanted}"]
    images = [word_image(image) for image in places.tables.images]
    return list_sites(places.holdings) + [word_counts(places, places.holdings)] + images


# ---- Keys ----

def word_value(key, value):
    if key.kind == STATIC_KEY_KEY:
        signed = value - (1 << 64) if value >> 63 else value
        return f"{signed} ({'enabled' if signed > 0 else 'disabled'})"
    return f"{value:#x} <{name_address(value)}>" if value else "NULL"


def word_shown(key, value):
    """What the text shows of the key, as the library noted it."""
    if not key.image.is_known or not key.image.is_applied:
        return "shows nothing of it yet: the image has not been applied"
    shown = "shows it" if key.applied == value else f"shows {word_value(key, key.applied)} still"
    if key.noted:
        shown += f"; a pass under way brings {word_value(key, key.wanted)}"
    return shown


def word_inlines(places, function):
    return [f"  inline form   {inline.bytes.hex(' ') or 'nothing'}" for inline in places.tables.inlines
            if inline.function == function]


def report_key(places, name):
    keys = [key for key in places.tables.keys.values() if key.name == name]
    if not keys:
        address = evaluate("&" + name)
        keys = [key for key in places.tables.keys.values() if key.cell == address]
    if not keys:
        raise Trouble(f"no key has the name {name}; `textpatch key` lists all")
    return [line for key in keys for line in describe_key(places, key)]


def describe_key(places, key):
    value = key.read()
    holdings = [holding for holding in places.holdings if holding.key is key]
    lines = [f"{key.name}: {KEY_KIND_NAMES[key.kind]} of {key.image.name}",
             f"  cell          {key.cell:#x} <{name_address(key.cell)}>",
             f"  value         {word_value(key, value)}",
             f"  text          {word_shown(key, value)}"]
    if key.kind != STATIC_KEY_KEY:
        lines += word_inlines(places, value)
    return lines + [f"  {line}" for line in list_sites(holdings)] + [f"  {word_counts(places, holdings)}"]


def report_keys(places):
    rows = []
    for key in sorted(places.tables.keys.values(), key=lambda key: key.name):
        try:
            value = word_value(key, key.read())
        except Trouble as trouble:
            value = str(trouble)
        sites = sum(holding.key is key for holding in places.holdings)
        rows.append((key.name, KEY_KIND_NAMES[key.kind], count(sites, "site"), value))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return ["  ".join([cell.ljust(width) for cell, width in zip(row, widths)] + [row[3]]) for row in rows]


def complete_keys(text, word):
    """Names hold dots, at which GDB begins a new word."""
    try:
        names = {key.name for key in Tables(Memory()).keys.values()}
    except Exception:  # no message may appear while somebody types
        return []
    done = len(text) - len(word or "")
    return sorted(name[done:] for name in names if name.startswith(text))
