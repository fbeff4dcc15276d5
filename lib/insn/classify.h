/* SPDX-License-Identifier: MIT */
/*
 * The second half of decoding: what an instruction is, once its length is known.
 *
 * What for
 *   decode.c calls it; nobody else should.
 *
 * Call
 *   tp_insn_classify()  fills kind, condition, stack and the flags about them
 *
 * How it works
 *   Control flow and the usual stack instructions are told by opcode. For all others one question is left: is
 *   rsp among the registers that it writes? A table of opcode ranges says which of its operands an
 *   instruction writes.
 *
 * Edge cases
 *   In doubt, TP_INSN_STACK_CHANGES is set without TP_INSN_STACK_KNOWN: some opcodes write a general or a
 *   vector register by their prefix, and register 4 of either kind then counts as rsp.
 */
#ifndef TP_INSN_CLASSIFY_H
#define TP_INSN_CLASSIFY_H

#include "../insn/decode.h"

/* `bytes` are the insn->length bytes that were decoded. */
void tp_insn_classify(struct tp_insn *insn, const uint8_t *bytes);

#endif
