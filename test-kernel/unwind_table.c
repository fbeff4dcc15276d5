/* SPDX-License-Identifier: MIT */
#include "unwind_table.h"

#include <textpatch/engine.h>

#include "ops_sites.h"
#include "platform.h"
#include "pv_ops.h"
#include "support.h"

enum { ENTRIES = 32768 };

struct tp_unwind_table kernel_table;
static struct tp_orc_entry entries[ENTRIES];

bool use_table(void) {
    enum tp_status status = tp_kernel_unwind_table(&kernel_table);
    if (status == TP_ERR_EMPTY_TABLE)
        return false;
    kernel_table.stays = false;
    return EXPECT_OK(status) && EXPECT_OK(tp_unwind_add(&kernel_table));
}

void forget_table(void) {
    EXPECT_OK(tp_unwind_remove(&kernel_table));
}

static struct tp_orc_entry *copy_any(const struct tp_unwind_table *table, struct tp_unwind_table *copy) {
    if (table->count > ENTRIES)
        return NULL;
    for (uint32_t i = 0; i < table->count; i++)
        entries[i] = table->entries[i];
    *copy = *table;
    copy->entries = entries;
    return entries;
}

struct tp_orc_entry *copy_table(struct tp_unwind_table *copy) {
    return copy_any(&kernel_table, copy);
}

static bool narrow(const struct tp_site_info *site, void *argument) {
    const struct tp_unwind_table *narrowed = argument;
    if (site->address - narrowed->text_start >= narrowed->text_size)
        return true;
    uint32_t start = (uint32_t)(site->address - narrowed->text_start), first = 0;
    for (uint32_t i = 0; i < narrowed->count && narrowed->ips[i] < start + site->length; i++) {
        if (narrowed->ips[i] <= start)
            first = i;
        else
            entries[i] = entries[first];
    }
    return true;
}

bool narrow_any_table(const struct tp_unwind_table *table, struct tp_unwind_table *copy) {
    if (!copy_any(table, copy))
        return false;
    tp_for_each_site(narrow, copy);
    return true;
}

bool narrow_table(struct tp_unwind_table *copy) {
    return narrow_any_table(&kernel_table, copy);
}

unsigned long push_and_pop(unsigned long value);
TP_DEFINE_STATIC_CALL(pass_word, push_and_pop);

ONE_COPY void run_flags(void) {
    unsigned long flags = nasm_save_fl();
    nasm_restore_fl(flags);
    flags = nasm_pass_word(gas_save_fl());
    gas_restore_fl(flags);
    flags = save_fl();
    restore_fl(flags);
}
