/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame: what the compiler says of its code, row by row, by elfutils.
 *
 * Edge cases
 *   - Rows with rules that a table entry can't hold are complained of, with the offset of the function's description in
 *     .eh_frame (its FDE) and the address. The frame as an expression is understood where it is one load: what gcc makes
 *     of functions that align their stack.
 *   - Only kernels with pointers of fixed size in their descriptions: what gcc and clang make of kernel code.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "orc.h"
#include "report.h"

enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RETURN = 16, WORD = 8 };

/* Pointers in .eh_frame (Linux Standard Base, "DWARF Extensions"). */
enum { ENCODING_FORMAT = 0x0f, ENCODING_BASE = 0x70, ENCODING_RELATIVE = 0x10, ENCODING_INDIRECT = 0x80 };

struct frames {
    struct orc_text *text;
    const struct kernel_section *section;
    struct frame_range *ranges;
    uint32_t count, room;
};

/* ---- Descriptions: where they are and which addresses they speak of ---- */

static void add_range(struct frames *frames, uint64_t start, uint64_t size, uint64_t offset) {
    if (!size || !lies_in_text(frames->text, start))
        return; /* of code that is gone, or boot code elsewhere */
    if (size > frames->text->end - start) {
        complain(".eh_frame+0x%lx: 0x%lx bytes at 0x%lx go past the end of the text", (unsigned long)offset,
                 (unsigned long)size, (unsigned long)start);
        return;
    }
    if (frames->count == frames->room) {
        frames->room = frames->room ? 2 * frames->room : 1024;
        frames->ranges = grow(frames->ranges, frames->count, frames->room, sizeof *frames->ranges);
    }
    frames->ranges[frames->count++] = (struct frame_range){start, start + size, offset};
}

static bool read_number(const uint8_t **at, const uint8_t *end, unsigned format, uint64_t *value) {
    bool wide = format == DW_EH_PE_absptr || format == DW_EH_PE_udata8 || format == DW_EH_PE_sdata8;
    if (!wide && format != DW_EH_PE_udata4 && format != DW_EH_PE_sdata4)
        return false;
    if ((size_t)(end - *at) < (wide ? 8u : 4u))
        return false;
    uint32_t narrow;
    memcpy(value, *at, wide ? 8 : 0);
    memcpy(&narrow, *at, 4);
    if (!wide)
        *value = format == DW_EH_PE_sdata4 ? (uint64_t)(int64_t)(int32_t)narrow : narrow;
    *at += wide ? 8 : 4;
    return true;
}

/* Behind the address of a function that unwinding calls in other languages (C++, Rust): it isn't ours to call. */
static bool skip_pointer(const uint8_t **at, const uint8_t *end, uint8_t encoding) {
    const unsigned format = encoding & ENCODING_FORMAT;
    uint64_t value;
    if (encoding == DW_EH_PE_omit)
        return true;
    if ((encoding & ENCODING_BASE) == DW_EH_PE_aligned)
        return false;
    if (format == DW_EH_PE_uleb128 || format == DW_EH_PE_sleb128) {
        while (*at < end && (**at & 0x80))
            ++*at;
        return (*at)++ < end;
    }
    if (format == DW_EH_PE_udata2 || format == DW_EH_PE_sdata2)
        return end - *at >= 2 && (*at += 2);
    return read_number(at, end, format, &value);
}

/* A CIE's encoding of pointers: the byte of its augmentation that 'R' stands for. */
static int find_encoding(const Dwarf_CIE *cie) {
    const char *letters = cie->augmentation;
    const uint8_t *at = cie->augmentation_data, *end = at + cie->augmentation_data_size;
    if (!letters || letters[0] != 'z')
        return letters && letters[0] ? -1 : DW_EH_PE_absptr;
    for (letters++; *letters; letters++) {
        if (*letters == 'S')
            continue;
        if (at >= end || !strchr("RLP", *letters))
            return -1;
        if (*letters == 'R')
            return *at;
        uint8_t encoding = *at++;
        if (*letters == 'P' && !skip_pointer(&at, end, encoding))
            return -1;
    }
    return DW_EH_PE_absptr;
}

static bool read_range(struct frames *frames, const Elf_Data *data, const Dwarf_FDE *fde, uint64_t offset, int encoding) {
    const uint8_t *at = fde->start, *begin = data->d_buf;
    uint64_t start, size;
    if (encoding < 0 || !at || at < begin || fde->end > begin + data->d_size)
        return false;
    unsigned format = (unsigned)encoding & ENCODING_FORMAT, base = (unsigned)encoding & ENCODING_BASE;
    uint64_t place = frames->section->address + (uint64_t)(at - begin);
    if ((encoding & ENCODING_INDIRECT) || (base != 0 && base != ENCODING_RELATIVE) || !read_number(&at, fde->end, format, &start) ||
        !read_number(&at, fde->end, format, &size))
        return false;
    if (format == DW_EH_PE_sdata4)
        size &= UINT32_MAX;
    add_range(frames, base == ENCODING_RELATIVE ? place + start : start, size, offset);
    return true;
}

static int encoding_of(const Elf_Data *data, const unsigned char *ident, uint64_t offset) {
    Dwarf_Off next;
    Dwarf_CFI_Entry entry;
    if (offset >= data->d_size || dwarf_next_cfi(ident, (Elf_Data *)data, true, offset, &next, &entry) != 0 ||
        !dwarf_cfi_cie_p(&entry))
        return -1;
    return find_encoding(&entry.cie);
}

static int compare_ranges(const void *left, const void *right) {
    const struct frame_range *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void sort_ranges(struct frames *frames) {
    uint32_t kept = 0;
    if (frames->count)
        qsort(frames->ranges, frames->count, sizeof *frames->ranges, compare_ranges);
    for (uint32_t i = 0; i < frames->count; i++) {
        const struct frame_range range = frames->ranges[i];
        if (kept && range.start < frames->ranges[kept - 1].end)
            complain(".eh_frame+0x%lx and .eh_frame+0x%lx both speak of %s",
                     (unsigned long)frames->ranges[kept - 1].offset, (unsigned long)range.offset,
                     describe_address(frames->text->kernel, range.start));
        else
            frames->ranges[kept++] = range;
    }
    frames->count = kept;
}

static void find_ranges(struct frames *frames) {
    const unsigned char *ident = frames->text->kernel->bytes;
    Elf_Data data = {.d_buf = (void *)frames->section->bytes, .d_type = ELF_T_BYTE, .d_size = frames->section->size,
                     .d_align = 8, .d_version = EV_CURRENT};
    Dwarf_Off offset = 0, next = 0;
    Dwarf_CFI_Entry entry;
    int status;
    while ((status = dwarf_next_cfi(ident, &data, true, offset, &next, &entry)) == 0) {
        if (!dwarf_cfi_cie_p(&entry) &&
            !read_range(frames, &data, &entry.fde, offset, encoding_of(&data, ident, entry.fde.CIE_pointer)))
            complain(".eh_frame+0x%lx: the addresses that this speaks of can't be read", (unsigned long)offset);
        if (next <= offset)
            break;
        offset = next;
    }
    if (status < 0)
        complain(".eh_frame+0x%lx: %s", (unsigned long)offset, dwarf_errmsg(-1));
    sort_ranges(frames);
}

/* ---- Rows ---- */

static bool fits(int64_t offset) {
    return offset >= INT16_MIN && offset <= INT16_MAX;
}

static int base_of(uint64_t number) {
    switch (number) {
    case 0: return TP_ORC_BASE_AX;
    case 1: return TP_ORC_BASE_DX;
    case 2: return TP_ORC_BASE_CX;
    case 4: return TP_ORC_BASE_SI;
    case 5: return TP_ORC_BASE_DI;
    case REGISTER_RBP: return TP_ORC_BASE_BP;
    case REGISTER_RSP: return TP_ORC_BASE_SP;
    case 10: return TP_ORC_BASE_R10;
    case 11: return TP_ORC_BASE_R11;
    case 13: return TP_ORC_BASE_R13;
    default: return TP_ORC_BASE_NONE;
    }
}

/* A register plus an offset, as libdw writes it. */
static bool read_register(const Dwarf_Op *op, uint64_t *number, int64_t *offset) {
    bool is_short = op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31;
    if (!is_short && op->atom != DW_OP_bregx)
        return false;
    *number = is_short ? (uint64_t)(op->atom - DW_OP_breg0) : op->number;
    *offset = (int64_t)(is_short ? op->number : op->number2);
    return true;
}

static const char *read_frame(Dwarf_Frame *row, struct orc_state *state) {
    Dwarf_Op *ops;
    size_t count;
    uint64_t number;
    int64_t offset;
    if (dwarf_frame_cfa(row, &ops, &count) != 0 || count == 0)
        return "no rule says where the frame is";
    if (count > 2 || !read_register(&ops[0], &number, &offset) || (count == 2 && ops[1].atom != DW_OP_deref))
        return "the frame is an expression that an entry can't hold";
    int base = base_of(number);
    if (count == 2)
        base = base == TP_ORC_BASE_SP ? TP_ORC_BASE_AT_SP : base == TP_ORC_BASE_BP ? TP_ORC_BASE_AT_BP : TP_ORC_BASE_NONE;
    if (base == TP_ORC_BASE_NONE)
        return "the frame is counted from a register that an entry can't name";
    if (!fits(offset))
        return "the frame is farther away than an entry can say";
    state->registers = (uint8_t)base;
    state->sp_offset = (int32_t)offset;
    return NULL;
}

/* An offset from the frame: libdw has one operation for 0 and two otherwise. */
static bool is_saved(const Dwarf_Op *ops, size_t count, int64_t *offset) {
    *offset = count == 2 ? (int64_t)ops[1].number : 0;
    return (count == 1 || (count == 2 && ops[1].atom == DW_OP_plus_uconst)) && ops[0].atom == DW_OP_call_frame_cfa;
}

/* An expression, which begins with the frame on its stack; a register plus an offset comes on top of that. */
static bool is_saved_by_register(const Dwarf_Op *ops, size_t count, uint64_t *number, int64_t *offset) {
    return count == 2 && ops[0].atom == DW_OP_call_frame_cfa && read_register(&ops[1], number, offset);
}

static const char *read_return_address(Dwarf_Frame *row, struct orc_state *state) {
    Dwarf_Op memory[3], *ops;
    size_t count;
    int64_t offset;
    if (dwarf_frame_register(row, REGISTER_RETURN, memory, &ops, &count) != 0)
        return dwarf_errmsg(-1);
    if (count == 0 && ops == memory) {
        *state = (struct orc_state){.type = TP_ORC_END};
        return NULL;
    }
    state->type = TP_ORC_CALL;
    if (!is_saved(ops, count, &offset) || offset != -WORD)
        return "the return address doesn't lie 8 bytes below the frame";
    return NULL;
}

static const char *read_rbp(Dwarf_Frame *row, struct orc_state *state) {
    Dwarf_Op memory[3], *ops;
    size_t count;
    uint64_t number;
    int64_t offset = 0;
    unsigned rule = TP_ORC_BP_SAVED;
    if (dwarf_frame_register(row, REGISTER_RBP, memory, &ops, &count) != 0)
        return dwarf_errmsg(-1);
    if (count == 0)
        rule = ops == memory ? TP_ORC_BP_UNKNOWN : TP_ORC_BP_SAME;
    else if (is_saved(ops, count, &offset))
        rule = TP_ORC_BP_SAVED;
    else if (is_saved_by_register(ops, count, &number, &offset) && number == REGISTER_RBP)
        rule = TP_ORC_BP_AT_BP;
    else if (is_saved_by_register(ops, count, &number, &offset) && number == REGISTER_RSP)
        rule = TP_ORC_BP_AT_SP;
    else
        return "rbp is saved where an entry can't say";
    if (!fits(offset))
        return "rbp is saved farther away than an entry can say";
    state->registers = (uint8_t)(state->registers | rule);
    state->bp_offset = (int32_t)offset;
    return NULL;
}

/* What lies below rsp is lost at the next interrupt: then rbp has been loaded, and clang without optimisation forgot to
 * say so. */
static void forget_popped_rbp(struct orc_state *state) {
    if ((state->registers & TP_ORC_BASE) == TP_ORC_BASE_SP && (state->registers & TP_ORC_BP) == TP_ORC_BP_SAVED &&
        state->bp_offset < -state->sp_offset)
        state->registers = TP_ORC_BASE_SP | TP_ORC_BP_SAME;
}

static const char *read_row(Dwarf_Frame *row, struct orc_state *state) {
    bool signal;
    const char *fault = read_frame(row, state);
    if (!fault)
        fault = read_return_address(row, state);
    if (!fault && state->type == TP_ORC_CALL)
        fault = read_rbp(row, state);
    if (!fault)
        forget_popped_rbp(state);
    if (!fault && dwarf_frame_info(row, NULL, NULL, &signal) == REGISTER_RETURN && signal && state->type == TP_ORC_CALL)
        state->type |= TP_ORC_SIGNAL;
    return fault;
}

static void read_rows(struct orc_text *text, Dwarf_CFI *cfi, const struct frame_range *range) {
    for (uint64_t at = range->start; at < range->end;) {
        Dwarf_Frame *row;
        Dwarf_Addr start, end;
        bool signal;
        struct orc_state state = {.type = TP_ORC_UNDEFINED};
        if (dwarf_cfi_addrframe(cfi, at, &row) != 0) {
            complain(".eh_frame+0x%lx, for %s: %s", (unsigned long)range->offset, describe_address(text->kernel, at),
                     dwarf_errmsg(-1));
            return;
        }
        if (dwarf_frame_info(row, &start, &end, &signal) < 0 || end <= at || end > range->end)
            end = range->end;
        const char *fault = read_row(row, &state);
        free(row);
        if (fault)
            complain(".eh_frame+0x%lx, for %s: %s", (unsigned long)range->offset, describe_address(text->kernel, at),
                     fault);
        else
            set_states(text, at, end - at, &state);
        at = end;
    }
}

static void mark_range(const struct orc_text *text, const struct frame_range *range) {
    for (uint64_t at = range->start; at < range->end; at++)
        set_mark(text, at, MARK_FRAME);
}

bool read_frames(struct orc_text *text, struct frame_range **ranges, uint32_t *count) {
    struct frames frames = {.text = text, .section = find_section(text->kernel, ".eh_frame")};
    *count = 0;
    if (!frames.section || !frames.section->bytes || !frames.section->size)
        return false;
    find_ranges(&frames);
    /* libelf may convert in place: it gets a copy. */
    uint8_t *copy = grow(text->kernel->bytes, text->kernel->size, text->kernel->size, 1);
    Elf *elf = elf_memory((char *)copy, text->kernel->size);
    Dwarf_CFI *cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
    if (!cfi)
        complain("section .eh_frame (offset 0x%lx): libdw can't read it: %s", (unsigned long)frames.section->offset,
                 dwarf_errmsg(-1));
    for (uint32_t i = 0; cfi && i < frames.count; i++) {
        mark_range(text, &frames.ranges[i]);
        read_rows(text, cfi, &frames.ranges[i]);
    }
    if (cfi)
        dwarf_cfi_end(cfi);
    if (elf)
        elf_end(elf);
    *ranges = frames.ranges;
    *count = frames.count;
    return frames.count > 0;
}
