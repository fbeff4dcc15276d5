/* SPDX-License-Identifier: MIT */
/*
 * What assembler code says of itself: section .debug_textpatch_hints, by the macros of textpatch/hints.inc.
 */
#include <string.h>

#include "orc.h"
#include "report.h"

#define SECTION ".debug_textpatch_hints"

enum hint_kind {
    HINT_HERE,           /* the state in front of this instruction; it is followed from here on */
    HINT_RANGE,          /* the state of all bytes up to `end`; nothing is followed */
    HINT_HYPERCALL_PAGE, /* Xen fills it */
};

struct hint {
    uint64_t address;
    uint64_t end;
    int16_t sp_offset, bp_offset;
    uint8_t registers, type;
    uint16_t kind;
};

TP_STATIC_ASSERT(sizeof(struct hint) == 24, "textpatch/hints.inc");

/*
 * 51           push %rcx          b8 xx xx xx xx  mov $n, %eax       41 5b  pop %r11      c3  ret
 * 41 53        push %r11          0f 05           syscall            59     pop %rcx
 * The call iret pushes rax, too, and has no way back (xen/arch/x86/hypercall.c).
 */
static void set_hypercall(struct orc_text *text, uint64_t address, bool is_iret) {
    static const struct {
        uint8_t at, pushed;
    } steps[] = {{0, 0}, {1, 8}, {3, 16}, {12, 8}, {13, 0}};
    static const struct {
        uint8_t at, pushed;
    } iret_steps[] = {{0, 0}, {1, 8}, {3, 16}, {4, 24}};
    struct orc_state state = called_state;
    if (is_iret) /* the flags of the call, then the five words */
        state = (struct orc_state){.sp_offset = 8, .registers = TP_ORC_BASE_SP, .type = TP_ORC_WORDS};
    const int32_t base = state.sp_offset;
    unsigned count = is_iret ? sizeof iret_steps / sizeof *iret_steps : sizeof steps / sizeof *steps;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = is_iret ? iret_steps[i].at : steps[i].at;
        state.sp_offset = base + (is_iret ? iret_steps[i].pushed : steps[i].pushed);
        set_states(text, address + at, 32 - at, &state);
    }
}

static void set_hypercalls(struct orc_text *text, uint64_t address) {
    enum { CALLS = 128, BYTES = 32, IRET = 23 };
    for (unsigned i = 0; i < CALLS; i++)
        set_hypercall(text, address + i * BYTES, i == IRET);
    for (unsigned i = 0; i < CALLS * BYTES && lies_in_text(text, address + i); i++)
        set_mark(text, address + i, MARK_FIXED);
}

/* What tp_unwind_add() takes (lib/unwind/tables.c). */
static bool is_sound(const struct hint *hint) {
    const unsigned type = hint->type & TP_ORC_TYPE, flags = hint->type & ~(unsigned)TP_ORC_TYPE;
    const unsigned base = hint->registers & TP_ORC_BASE, rule = hint->registers & TP_ORC_BP;
    bool flags_fit = !flags || (type == TP_ORC_CALL && flags == TP_ORC_SIGNAL) ||
                     (type == TP_ORC_WORDS && (flags == TP_ORC_TRAP || flags == TP_ORC_VECTOR));
    return type < TP_ORC_TYPES && base < TP_ORC_BASES && rule <= TP_ORC_BP_UNKNOWN && flags_fit &&
           (type >= TP_ORC_CALL) == (base != TP_ORC_BASE_NONE);
}

static void take_hint(struct orc_text *text, const struct hint *hint, uint64_t offset) {
    struct orc_state state = {.sp_offset = hint->sp_offset, .bp_offset = hint->bp_offset, .registers = hint->registers,
                              .type = hint->type};
    if (hint->type == TP_ORC_REGS) /* rbp is there, until it is loaded (flow_state.c) */
        state.registers |= TP_ORC_BP_SAVED;
    if (hint->address == 0 || hint->address == UINT64_MAX)
        return; /* of code that the linker dropped */
    if (!lies_in_text(text, hint->address) || !is_sound(hint)) {
        complain(SECTION "+0x%lx: this is no hint for code of this kernel", (unsigned long)offset);
        return;
    }
    switch (hint->kind) {
    case HINT_HERE:
        set_states(text, hint->address, 1, &state);
        set_mark(text, hint->address, MARK_HINT);
        break;
    case HINT_RANGE:
        for (uint64_t at = hint->address; at < hint->end && lies_in_text(text, at); at++) {
            set_states(text, at, 1, &state);
            set_mark(text, at, MARK_FIXED);
        }
        break;
    case HINT_HYPERCALL_PAGE:
        set_hypercalls(text, hint->address);
        break;
    default:
        complain(SECTION "+0x%lx: a hint of a kind that this tool doesn't know", (unsigned long)offset);
    }
}

/* Code of the library's that can't be followed without its hints; those of a kernel's own go the same way. */
static const struct kernel_symbol *find_hinted(const struct kernel *kernel, uint64_t start, uint64_t end) {
    static const char *const names[] = {"tp_breakpoint_entry", "tp_breakpoint_entry_copied", "tp_return",
                                        "tp_breakpoint_entry_xen_pv"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        const struct kernel_symbol *symbol = find_symbol(kernel, names[i]);
        if (symbol && symbol->address >= start && symbol->address < end)
            return symbol;
    }
    return NULL;
}

static const struct kernel_section *find_hints(const struct kernel *kernel) {
    const struct kernel_section *section = find_section(kernel, SECTION);
    return section && section->bytes ? section : NULL;
}

const char *find_stripped(const struct kernel *kernel, uint64_t start, uint64_t end) {
    const struct kernel_section *frames = find_section(kernel, ".eh_frame");
    if (!frames || !frames->bytes || !frames->size)
        return ".eh_frame";
    return !find_hints(kernel) && find_hinted(kernel, start, end) ? SECTION : NULL;
}

static void miss_hints(const struct orc_text *text) {
    const struct kernel_symbol *hinted = find_hinted(text->kernel, text->start, text->end);
    if (hinted)
        complain("section " SECTION " is missing, and %s needs it: its hints were stripped. Link without -S and -s, and strip "
                 "when textpatch is done",
                 hinted->name);
}

void read_hints(struct orc_text *text) {
    const struct kernel_section *section = find_hints(text->kernel);
    if (!section) {
        miss_hints(text);
        return;
    }
    if (section->size % sizeof(struct hint) != 0)
        complain(SECTION ": 0x%lx bytes are no array of hints", (unsigned long)section->size);
    for (uint64_t at = 0; at + sizeof(struct hint) <= section->size; at += sizeof(struct hint)) {
        struct hint hint;
        memcpy(&hint, section->bytes + at, sizeof hint);
        take_hint(text, &hint, at);
    }
}
