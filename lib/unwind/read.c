/* SPDX-License-Identifier: MIT */
/*
 * From the tool's bytes to a table.
 */
#include "../report.h"
#include "../unwind/tables.h"

/* From linker/textpatch.ld; weak, so that an object without the fragment links and is told so at run time. */
extern const uint8_t __tp_orc[] __attribute__((weak, visibility("hidden")));
extern const uint8_t __tp_orc_end[] __attribute__((weak, visibility("hidden")));

/* What stands behind the head; nothing overflows: at most 2^32 * 10 + 2^24 * 4. */
TP_COLD static uint64_t measure(const struct tp_orc_head *head) {
    return (uint64_t)head->entry_count * (sizeof(uint32_t) + sizeof(struct tp_orc_entry)) +
           (uint64_t)tp_orc_blocks(head->text_size) * sizeof(uint32_t);
}

TP_COLD enum tp_status tp_read_unwind_table(struct tp_unwind_table *table, const void *bytes, size_t size) {
    const struct tp_orc_head *head = bytes;
    if (!bytes || size == 0)
        return tp_fail_with(TP_ERR_EMPTY_TABLE);
    if (size < sizeof *head)
        return tp_fail_with(TP_ERR_BAD_ARGUMENT);
    if (head->version != TP_ORC_VERSION)
        return tp_fail(&(struct tp_error){.status = TP_ERR_RECORD_VERSION, .value = head->version});
    if (head->entry_count == 0)
        return tp_fail_with(TP_ERR_EMPTY_TABLE);
    const uintptr_t text = (uintptr_t)&head->text + (uintptr_t)(intptr_t)head->text;
    if (head->text_size == 0 || text + (head->text_size - 1) < text || measure(head) > size - sizeof *head)
        return tp_fail(&(struct tp_error){.status = TP_ERR_BAD_ARGUMENT, .value = head->text_size});
    const uint32_t *ips = (const uint32_t *)(head + 1), *blocks = ips + head->entry_count;
    *table = (struct tp_unwind_table){
        .text_start = text,
        .text_size = head->text_size,
        .count = head->entry_count,
        .ips = ips,
        .blocks = blocks,
        .entries = (const struct tp_orc_entry *)(blocks + tp_orc_blocks(head->text_size)),
    };
    return TP_OK;
}

TP_COLD enum tp_status tp_kernel_unwind_table(struct tp_unwind_table *table) {
    enum tp_status status = tp_read_unwind_table(table, __tp_orc, (size_t)(__tp_orc_end - __tp_orc));
    if (status == TP_OK)
        table->stays = true;
    return status;
}
