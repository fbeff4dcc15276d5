/* SPDX-License-Identifier: MIT */
/*
 * Forms that more than one kind of site may hold.
 */
#include "../insn/decode.h"
#include "../insn/encode.h"
#include "../render/kinds.h"
#include "../site/site.h"

/* Intel recommends NOPs of up to 9 bytes (SDM vol. 2 "NOP"), AMD of up to 11 (optimization guides, family 15h on). */
unsigned tp_nop_longest(enum tp_view view) {
    if (view == TP_VIEW_PRISTINE)
        return 9;
    return tp_state_has(tp_state_of(view), TP_FEATURE_VENDOR_AMD) ? 11 : 9;
}

static void fill(struct tp_template *out, unsigned first, uint8_t byte) {
    for (unsigned i = first; i < out->length; i++)
        out->bytes[i] = byte;
}

/*
 * call target in 6 bytes   2e e8 xx xx xx xx   cs call target
 * Padding goes in front, so that every call form returns to the site's end.
 */
void tp_put_direct(struct tp_template *out, unsigned branch, uintptr_t target) {
    unsigned opcode = (out->length - 5u) % TP_TEMPLATE_MAX;
    fill(out, 0, TP_PREFIX_PAD);
    out->bytes[opcode] = branch == TP_BRANCH_CALL ? TP_OPCODE_CALL : TP_OPCODE_JMP;
    for (unsigned i = opcode + 1; i < out->length; i++)
        out->bytes[i] = 0;
    out->field = (uint8_t)(opcode + 1);
    out->bias = target - out->length;
    out->relative = true;
    out->form = TP_FORM_DIRECT;
}

/* call *cell(%rip) in 7 bytes   2e ff 15 xx xx xx xx   cs call *cell(%rip) */
void tp_put_indirect(struct tp_template *out, unsigned branch, uintptr_t cell) {
    tp_put_direct(out, branch, cell);
    out->bytes[out->length - 6] = 0xff;
    out->bytes[out->length - 5] = branch == TP_BRANCH_CALL ? 0x15 : 0x25;
    out->form = TP_FORM_ORIGINAL;
}

void tp_put_nops(struct tp_template *out, enum tp_view view) {
    tp_fill_nops(out->bytes, out->length, tp_nop_longest(view));
    out->form = TP_FORM_NOP;
}

/* ret in 6 bytes   c3 cc cc cc cc cc */
void tp_put_return(struct tp_template *out) {
    fill(out, 0, TP_OPCODE_INT3);
    out->bytes[0] = 0xc3;
    out->form = TP_FORM_RETURN;
}

/* ud2 in 6 bytes   0f 0b cc cc cc cc: the kernel's #UD handler asks tp_describe_site() whose it is */
void tp_put_trap(struct tp_template *out) {
    fill(out, 0, TP_OPCODE_INT3);
    out->bytes[0] = 0x0f;
    out->bytes[1] = 0x0b;
    out->form = TP_FORM_TRAP;
}

/* What must be known of a patchlet before it may stand in a site. */
struct shape {
    unsigned count;    /* instructions */
    bool ends_flow;    /* the last one does not fall through */
    bool may_be_padded;
    bool waits_at_end; /* a CPU may be interrupted behind the last one, or return there */
    unsigned field;    /* offset of the field that depends on the address, if `relative` */
    int32_t displacement;
    bool relative;
};

/* Sound patchlets only: tp_validate_inlines() has seen them all. */
static struct shape measure(const uint8_t *bytes, unsigned length, unsigned padding) {
    struct shape shape = {.count = 0};
    struct tp_insn insn;
    for (unsigned at = 0; at < length; at += insn.length) {
        if (tp_insn_decode(bytes + at, bytes + length, &insn) != TP_OK)
            break;
        shape.count++;
        shape.ends_flow = insn.flags & TP_INSN_ENDS_FLOW;
        shape.may_be_padded = tp_insn_may_be_padded(&insn, padding);
        shape.waits_at_end = insn.kind == TP_INSN_HLT || tp_insn_leaves_return_address(&insn);
        if (insn.operand_size) {
            shape.relative = true;
            shape.field = at + insn.operand_offset;
            shape.displacement = tp_insn_displacement(&insn, bytes + at);
        }
    }
    return shape;
}

/*
 * cli in 6 bytes           2e 2e 2e 2e 2e fa   one instruction, so the site has no inside
 * pushf; pop in 6 bytes    9c 58 0f 1f 40 00   pushf; pop %rax; nopl 0(%rax)
 * sti; hlt in 6 bytes      0f 1f 40 00 fb f4   nopl 0(%rax); sti; hlt: who sleeps there is not inside the site
 */
bool tp_put_inline(struct tp_template *out, unsigned branch, uintptr_t function, enum tp_view view) {
    const struct tp_inline *form = tp_find_inline(function);
    if (!form)
        return false;
    const uint8_t *bytes = (const uint8_t *)tp_relative(&form->start);
    uintptr_t size = tp_relative(&form->end) - (uintptr_t)bytes;
    if (size > out->length)
        return false;
    unsigned length = (unsigned)size, padding = out->length - length;
    struct shape shape = measure(bytes, length, padding);
    if (length == 0 && branch == TP_BRANCH_CALL)
        tp_put_nops(out, view);
    else if (length == 0)
        tp_put_return(out);
    if (length == 0)
        return true;
    if (shape.ends_flow != (branch == TP_BRANCH_JMP))
        return false;
    bool prefixed = shape.count == 1 && shape.may_be_padded;
    unsigned start = prefixed || shape.waits_at_end ? padding : 0;
    fill(out, 0, TP_PREFIX_PAD);
    for (unsigned i = 0; i < length; i++)
        out->bytes[start + i] = bytes[i];
    if (!prefixed)
        tp_fill_nops(out->bytes + (start ? 0 : length), padding, tp_nop_longest(view));
    if (shape.relative) {
        out->relative = true;
        out->field = (uint8_t)(start + shape.field);
        out->bias = (uintptr_t)bytes - start + (uintptr_t)(intptr_t)shape.displacement;
        for (unsigned i = 0; i < 4; i++)
            out->bytes[out->field + i] = 0;
    }
    out->form = TP_FORM_INLINE;
    return true;
}
