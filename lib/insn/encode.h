/* SPDX-License-Identifier: MIT */
/*
 * Branches and NOPs, written into slots.
 *
 * What for
 *   A slot is a number of bytes at an address, which one instruction (or a run of NOPs) shall fill.
 *
 * Calls
 *   tp_encode_branch()    call or jmp rel32, filling 5 to 15 bytes
 *   tp_encode_indirect()  call or jmp through a pointer in memory, filling 6 to 15 bytes
 *   tp_encode_jcc32()     conditional jump, 6 bytes
 *   tp_encode_jmp8()      short jump, 2 bytes
 *   tp_encode_jmp32()     near jump, 5 bytes
 *   tp_fill_nops()        nothing, in any number of bytes
 *   tp_is_nop_run()       whether bytes do nothing
 *
 * Example
 *   uint8_t slot[6];
 *   status = tp_encode_branch(slot, sizeof slot, TP_OPCODE_CALL, site, target);   // 2e e8 rel32
 *
 * How it works
 *   A branch longer than its natural length gets 0x2e prefixes in front, which 64-bit mode ignores (Intel SDM
 *   vol. 2 section 2.1.1 and vol. 1 section 3.4.2.1; AMD APM vol. 3 section 1.2.4). So it ends where its slot
 *   ends, and the address that a call leaves on the stack is the same for every form of a site.
 *
 *   NOPs are the forms that both vendors recommend (SDM vol. 2 "NOP", APM vol. 3 "NOP"), up to 9 bytes;
 *   longer ones have more prefixes, which CPUs differ in liking: `longest` says how far to go.
 *
 * Edge cases
 *   - `out` is where the bytes go, `address` is where they will run; they need have nothing in common.
 *   - Nothing is written on an error. A length, opcode or condition that can't be is TP_ERR_BAD_ARGUMENT; a
 *     target that the displacement can't hold is TP_ERR_OUT_OF_REACH. Addresses wrap modulo 2^64, as they do
 *     in the CPU.
 */
#ifndef TP_INSN_ENCODE_H
#define TP_INSN_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include <textpatch/status.h>

enum {
    TP_OPCODE_CALL = 0xe8,
    TP_OPCODE_JMP = 0xe9,
    TP_OPCODE_INT3 = 0xcc,
    TP_PREFIX_PAD = 0x2e,
    TP_BRANCH_LENGTH = 5,
    TP_INDIRECT_LENGTH = 6,
    TP_JCC32_LENGTH = 6,
    TP_JMP8_LENGTH = 2,
    TP_JMP32_LENGTH = 5,
    TP_NOP_LONGEST_MIN = 9,
    TP_NOP_LONGEST_MAX = 15,
};

/* `opcode` is TP_OPCODE_CALL or TP_OPCODE_JMP; `length` is 5 to 15. */
TP_MUST_CHECK enum tp_status tp_encode_branch(uint8_t *out, unsigned length, uint8_t opcode,
                                              uintptr_t address, uintptr_t target);

/* Through the pointer at `cell`; `opcode` is TP_OPCODE_CALL or TP_OPCODE_JMP; `length` is 6 to 15. */
TP_MUST_CHECK enum tp_status tp_encode_indirect(uint8_t *out, unsigned length, uint8_t opcode,
                                                uintptr_t address, uintptr_t cell);

/* Never padded: 2e before a jcc is a branch hint. `condition` is 0 to 15, as in struct tp_insn. */
TP_MUST_CHECK enum tp_status tp_encode_jcc32(uint8_t *out, uint8_t condition, uintptr_t address,
                                             uintptr_t target);

TP_MUST_CHECK enum tp_status tp_encode_jmp8(uint8_t *out, uintptr_t address, uintptr_t target);

TP_MUST_CHECK enum tp_status tp_encode_jmp32(uint8_t *out, uintptr_t address, uintptr_t target);

/*
 * One NOP if it fits into `longest` bytes (brought into 9..15 if it isn't), else two, the longer first; a gap
 * that two can't fill becomes a jump over int3.
 */
void tp_fill_nops(uint8_t *out, unsigned length, unsigned longest);

/* Only NOPs, or NOPs and then a jump to the end over int3: what tp_fill_nops and assemblers pad with. */
bool tp_is_nop_run(const uint8_t *bytes, unsigned length);

#endif
