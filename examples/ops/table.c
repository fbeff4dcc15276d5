/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <textpatch/engine.h>

#include "counting.h"
#include "effects.h"
#include "platform.h"
#include "show.h"
#include "sites.h"

typedef uintptr_t __attribute__((may_alias)) slot;

static struct row {
    const char *name;
    unsigned sites;
    uintptr_t site;
    uint8_t length;
    uint8_t bytes[FORMS][TP_OP_LENGTH_MAX];
    unsigned long calls[FORMS];
    struct effect effects[FORMS];
} rows[OPS];

static const void *slot_of(unsigned op) { return (slot *)&pv_ops + op; }

static const char *behind_last_dot(const char *key) {
    const char *name = key;
    for (; *key; key++)
        if (*key == '.')
            name = key + 1;
    return name;
}

static bool choose_site(const struct tp_site_info *site, void *unused) {
    (void)unused;
    for (unsigned op = 0; op < OPS; op++) {
        struct row *row = &rows[op];
        if (site->cell != slot_of(op))
            continue;
        row->name = behind_last_dot(site->key);
        row->site = site->address;
        row->length = site->length;
        row->sites++;
    }
    return true;
}

void choose_sites(void) { tp_for_each_site(choose_site, NULL); }

void keep_bytes(enum form form) {
    for (unsigned op = 0; op < OPS; op++)
        for (unsigned i = 0; i < rows[op].length; i++)
            rows[op].bytes[form][i] = ((const volatile uint8_t *)rows[op].site)[i];
}

static bool sleeps(unsigned op) { return op == OP(irq.halt) || op == OP(irq.safe_halt); }

static void keep(enum form form, bool sleepers) {
    for (unsigned op = 0; op < OPS; op++) {
        if (sleeps(op) != sleepers)
            continue;
        rows[op].calls[form] = table_calls(slot_of(op));
        rows[op].effects[form] = effects[op];
    }
}

void keep_calls(enum form form) { keep(form, false); }

void keep_calls_of_sleepers(enum form form) { keep(form, true); }

static bool is_right(const struct row *row) {
    bool right = row->sites > 0 && row->calls[AS_LINKED] > 0 && row->calls[DIRECT] == row->calls[AS_LINKED] &&
                 row->calls[PATCHED] == 0;
    for (unsigned form = 0; form < FORMS; form++) {
        const struct effect *effect = &row->effects[form];
        right = right && effect->looked > 0 && effect->right == effect->looked &&
                effect->looked == row->effects[AS_LINKED].looked;
    }
    return right;
}

static void print_row(const struct row *row) {
    bool right = is_right(row);
    print_format("  %s%-16s%s%6u", color(BOLD), row->name ? row->name : "without a site", color(PLAIN),
                 row->sites);
    for (unsigned form = 0; form < FORMS; form++)
        print_format("%12lu", row->calls[form]);
    print_format("%6lu of%6lu", row->effects[PATCHED].right, row->effects[PATCHED].looked);
    end_line(right, row->name ? row->name : "an op without a site");
}

static void print_bytes(const struct row *row) {
    print_form("was", row->site, row->bytes[AS_LINKED], row->length);
    print_form("via", row->site, row->bytes[DIRECT], row->length);
    print_form("now", row->site, row->bytes[PATCHED], row->length);
}

void print_table(void) {
    print_format("  %-16s%6s%36s%15s\n", "", "", "calls of the table's function", "");
    print_format("  %-16s%6s%12s%12s%12s%15s\n", "op", "sites", "as linked", "direct", "patched",
                 "took effect");
    for (unsigned op = 0; op < OPS; op++) {
        print_row(&rows[op]);
        if (rows[op].sites > 0)
            print_bytes(&rows[op]);
    }
    print_format(
        "  was: as linked; via: with functions in the table that count and go on; now: with this world's.\n"
        "  Of wbinvd, wait and kick there is nothing to be seen but that they come back to what they "
        "left.\n");
}
