/* SPDX-License-Identifier: MIT */
#include "../commit/boot.h"

#include "../insn/bytes.h"
#include "../port.h"
#include "../report.h"
#include "../serialize.h"
#include "../site/site.h"

enum { CR0_WP = 1 << 16, CR4_CET = 1 << 23 };

/* Stores by way of an alias and loads by the text's address mean the same memory, which the compiler can't know. */
static inline void forget_memory(void) {
    __asm__ volatile("" : : : "memory");
}

TP_COLD static enum tp_status refuse_bytes(enum tp_status status, const struct tp_edit *edit, const uint8_t *found,
                                   const uint8_t *expected) {
    struct tp_error error = {.status = status, .site = edit->address, .length = edit->length, .key = edit->key};
    tp_show_bytes(&error, found, expected);
    return tp_fail(&error);
}

enum tp_status tp_check_edit(const struct tp_edit *edit) {
    const uint8_t *text = (const uint8_t *)edit->address;
    if (tp_bytes_differ(text, edit->old_bytes, edit->length))
        return refuse_bytes(TP_ERR_UNEXPECTED_BYTES, edit, text, edit->old_bytes);
    return TP_OK;
}

void tp_undo_edit(const struct tp_writer *writer, const struct tp_edit *edit) {
    const struct tp_edit back = {edit->address, edit->new_bytes, edit->old_bytes, edit->length, edit->key};
    /* Nothing more can be done about a port that refuses this as well; the caller has an error to report already. */
    if (!tp_bytes_differ((const uint8_t *)edit->address, edit->new_bytes, edit->length))
        (void)!tp_write_edit(writer, &back);
}

/* What the port has to give where CR0 can't be written: see textpatch/port.h. */
static bool can_clear_wp(void) {
    return tp_privilege_level() == 0 && !(tp_read_cr4() & CR4_CET);
}

enum tp_status tp_can_open_writer(void) {
    if (tp_port()->map_text || can_clear_wp())
        return TP_OK;
    return tp_fail(&(struct tp_error){.status = TP_ERR_PORT_HOOK_MISSING, .hook = "map_text"});
}

void tp_open_writer(struct tp_writer *writer, const struct tp_image *image) {
    *writer = (struct tp_writer){.text = image->text_start, .length = image->text_end - image->text_start};
    if (tp_port()->map_text) {
        writer->alias = tp_port()->map_text(writer->text, writer->length);
        return;
    }
    writer->alias = (uint8_t *)writer->text;
    writer->cr0 = tp_read_cr0();
    tp_write_cr0(writer->cr0 & ~(uint64_t)CR0_WP);
}

void tp_close_writer(struct tp_writer *writer) {
    if (writer->cr0)
        tp_write_cr0(writer->cr0);
    else if (writer->alias)
        tp_port()->unmap_text(writer->alias, writer->length);
    tp_serialize(tp_state_has(&tp_registry.wanted, TP_FEATURE_SERIALIZE));
}

static void store(uint8_t *to, const struct tp_edit *edit) {
    forget_memory();
    for (unsigned i = 0; i < edit->length; i++)
        to[i] = edit->new_bytes[i];
    forget_memory();
}

enum tp_status tp_write_edit(const struct tp_writer *writer, const struct tp_edit *edit) {
    if (writer->alias) {
        store(writer->alias + (edit->address - writer->text), edit);
    } else {
        void *alias = tp_port()->map_text(edit->address, edit->length);
        if (!alias)
            return tp_fail(&(struct tp_error){
                .status = TP_ERR_MAP_FAILED, .site = edit->address, .length = edit->length, .key = edit->key});
        store(alias, edit);
        tp_port()->unmap_text(alias, edit->length);
    }
    const uint8_t *text = (const uint8_t *)edit->address;
    if (tp_bytes_differ(text, edit->new_bytes, edit->length))
        return refuse_bytes(TP_ERR_READ_BACK, edit, text, edit->new_bytes);
    return TP_OK;
}
