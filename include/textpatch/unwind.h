/* SPDX-License-Identifier: MIT */
/*
 * textpatch/unwind.h: who called whom, at any instruction, without frame pointers, and inside patched sites too.
 *
 * What it is for
 *   Stack traces in panics, profilers and NMIs. A table that `textpatch orc` makes of the linked kernel says for each
 *   address of its text where the caller's frame is. Where a site may hold several forms, the table holds all of
 *   them at once, so nothing has to be told when text is patched.
 *
 * The calls
 *   tp_kernel_unwind_table, tp_read_unwind_table   what the tool has made, of the kernel or of a module
 *   tp_unwind_add, tp_unwind_remove                from here on walks know it, or no longer
 *   tp_unwind_start, tp_unwind_here                a walk from registers, or from this very place
 *   tp_unwind_next                                 to the caller
 *   tp_unwind_place                                the address to look a symbol up with
 *   tp_breakpoint_go_to                            for a #BP handler that moves rip
 *
 * Example
 *   static bool find_stack(uintptr_t sp, struct tp_stack *stack, void *argument);    // the kernel's own
 *   static struct tp_unwind_table table;
 *   if (tp_kernel_unwind_table(&table) == TP_OK)                                     // once, at boot
 *       status = tp_unwind_add(&table);
 *   …
 *   struct tp_unwind frame;                                                          // in any handler
 *   tp_unwind_start(&frame, regs, find_stack, NULL);
 *   do
 *       print("%s%p\n", frame.reliable ? "" : "? ", (void *)tp_unwind_place(&frame));
 *   while (tp_unwind_next(&frame));
 *   if (frame.end == TP_UNWIND_LOST)
 *       print("and then something\n");
 *
 * How it works
 *   An address is looked up in a sorted array, by way of an index that has an entry for each 256 bytes of text. What is
 *   found says where the caller's frame begins, counted from a register, where its rbp is, and which of three things is
 *   there: a return address, a complete struct tp_regs, or the five words that a CPU pushes. Behind a call the
 *   address before the return address is looked up, since a call may be a function's last instruction; where a frame of
 *   registers leads, the address itself.
 *   Where no table has the address, or says that nothing is known, a frame pointer is followed, and all that comes is
 *   not reliable.
 *
 * What is read
 *   Tables, and words of stacks. The kernel says by a hook which stack an address is on; nothing outside the bounds that
 *   the hook gave is read, whatever the stack holds. On one stack the walk only goes up; it may go to another, by a
 *   frame of registers or by a frame that names one, to each only once. (By a frame of registers it may also go to a
 *   lower place of the stack that it is on, once: an NMI that interrupted an NMI's entry.) So it ends on any garbage.
 *
 * Context
 *   Walks: any, NMI too, while another CPU adds and removes tables: wait-free, no lock, nothing allocated, nothing
 *   written but the caller's struct (and two counts, for tables that may be removed). Add and remove: see there.
 *
 * #BP
 *   A frame of vector 3 has its rip behind the int3, so rip - 1 is looked up: the place of a site that is being
 *   changed. tp_handle_breakpoint() says in error_code, which #BP has none of, when rip is no longer that:
 *   TP_BREAKPOINT_MOVED. A handler of the kernel's own that moves rip stores that, too.
 *
 * Edge cases
 *   - reliable means: every frame up to here was found by a table. A walk is complete if it ends with TP_UNWIND_OUTERMOST
 *     or TP_UNWIND_USER, too.
 *   - A table speaks of the text that it was made of. What is generated at run time needs one of its own, or frame
 *     pointers.
 *   - Another thread's stack may be walked while that thread runs: what is found is then anything, but the walk ends.
 *   - Kernels that are compiled without unwind information (.eh_frame; -fno-asynchronous-unwind-tables) have frame
 *     pointers at best: -fno-omit-frame-pointer.
 */
#ifndef TEXTPATCH_UNWIND_H
#define TEXTPATCH_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/record.h>
#include <textpatch/regs.h>
#include <textpatch/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The table, as it lies in .textpatch.orc ---- */

#define TP_ORC_VERSION 1
#define TP_ORC_BLOCK 256 /* bytes of text for each entry of the index */

/*
 * In a row: this head, ips, blocks, entries.
 *   uint32_t ips[entry_count]            ascending, the first one 0: offsets from the text's first byte
 *   uint32_t blocks[blocks]              one for each TP_ORC_BLOCK bytes of text, begun ones too: the number of the
 *                                        entry that holds at the block's first byte
 *   struct tp_orc_entry entries[entry_count]   each holds from its ip up to the next one
 */
struct tp_orc_head {
    uint32_t version;     /* TP_ORC_VERSION */
    int32_t text;         /* self-relative: the first byte of text */
    uint32_t text_size;   /* bytes */
    uint32_t entry_count; /* at least 1 */
};

struct tp_orc_entry {
    int16_t sp_offset;
    int16_t bp_offset;
    uint8_t registers; /* TP_ORC_BASE_… | TP_ORC_BP_… */
    uint8_t type;      /* enum tp_orc_type, and flags */
};

TP_STATIC_ASSERT(sizeof(struct tp_orc_head) == 16, "the format: 16 bytes in front");
TP_STATIC_ASSERT(sizeof(struct tp_orc_entry) == 6, "the format: 6 bytes an entry");

enum tp_orc_type {
    TP_ORC_UNDEFINED, /* nothing is known: no code, or code that could not be followed */
    TP_ORC_END,       /* there is no caller */
    TP_ORC_CALL,      /* a return address lies 8 bytes below the frame; the caller's sp is the frame */
    TP_ORC_REGS,      /* the frame is a complete struct tp_regs */
    TP_ORC_WORDS,     /* the frame is rip, cs, rflags, rsp, ss */
    TP_ORC_TYPES,
    TP_ORC_TYPE = 0x0f,
    TP_ORC_VECTOR = 0x20, /* TP_ORC_WORDS: vector and error code lie below them, as in struct tp_regs; 3 is #BP */
    TP_ORC_TRAP = 0x40,   /* TP_ORC_WORDS: it is #BP's frame: rip is behind an int3 */
    TP_ORC_SIGNAL = 0x80, /* TP_ORC_CALL: the return address is where execution goes on, not behind a call */
};

/* Where the frame is: a register, or a word in memory, plus sp_offset. */
enum tp_orc_base {
    TP_ORC_BASE_NONE,
    TP_ORC_BASE_SP,         /* rsp + sp_offset */
    TP_ORC_BASE_BP,         /* rbp + sp_offset */
    TP_ORC_BASE_AT_SP,      /* the word at rsp + sp_offset */
    TP_ORC_BASE_AT_BP,      /* the word at rbp + sp_offset */
    TP_ORC_BASE_BEHIND_SP,  /* the word at rsp + sp_offset, plus 8 */
    TP_ORC_BASE_BEHIND_BP,  /* the word at rbp + sp_offset, plus 8 */
    /* Only where the registers are known, which they are where something was interrupted. */
    TP_ORC_BASE_AX,
    TP_ORC_BASE_CX,
    TP_ORC_BASE_DX,
    TP_ORC_BASE_DI,
    TP_ORC_BASE_SI,
    TP_ORC_BASE_R10,
    TP_ORC_BASE_R11,
    TP_ORC_BASE_R13,
    TP_ORC_BASES,
    TP_ORC_BASE = 0x0f,
};

/* Where the caller's rbp is. Not for TP_ORC_REGS, whose struct has it. */
enum tp_orc_bp {
    TP_ORC_BP_SAME = 0x00,    /* still in rbp */
    TP_ORC_BP_SAVED = 0x10,   /* the word at the frame + bp_offset */
    TP_ORC_BP_AT_BP = 0x20,   /* the word at rbp + bp_offset */
    TP_ORC_BP_AT_SP = 0x30,   /* the word at rsp + bp_offset */
    TP_ORC_BP_UNKNOWN = 0x40, /* lost */
    TP_ORC_BP = 0xf0,
};

/* ---- Tables ---- */

/* One image's table. Filled by one of the two calls below, or by a loader that has the arrays somewhere else. */
struct tp_unwind_table {
    uintptr_t text_start;
    uint32_t text_size;
    uint32_t count;
    const uint32_t *ips;
    const uint32_t *blocks; /* (text_size + TP_ORC_BLOCK - 1) / TP_ORC_BLOCK of them */
    const struct tp_orc_entry *entries;
    /* It will never be removed: looking it up writes nothing. Set by tp_kernel_unwind_table(). */
    bool stays;
    struct tp_unwind_table *next; /* the library's */
};

/*
 * The table that was linked into this object: symbols of linker/textpatch.ld.
 * Context: any. Statuses: TP_OK; TP_ERR_EMPTY_TABLE: it was linked without one, as a first link is;
 * TP_ERR_RECORD_VERSION, TP_ERR_BAD_ARGUMENT as below.
 */
TP_MUST_CHECK enum tp_status tp_kernel_unwind_table(struct tp_unwind_table *table);

/*
 * The table at `head`, which is aligned to 4, with all that lies behind it: `size` bytes at most are looked at.
 * Context: any. Statuses: TP_OK; TP_ERR_EMPTY_TABLE: no entry; TP_ERR_RECORD_VERSION; TP_ERR_BAD_ARGUMENT: the arrays do
 * not fit into `size`, or the text has no byte or wraps around.
 */
TP_MUST_CHECK enum tp_status tp_read_unwind_table(struct tp_unwind_table *table, const void *head, size_t size);

/*
 * Checks each entry, and lets walks use the table. It must stay where it is until it is removed.
 * Context: any; one caller of add and remove at a time.
 * Statuses: TP_OK; TP_ERR_EMPTY_TABLE; TP_ERR_IMAGE_KNOWN; TP_ERR_IMAGE_OVERLAP: another table speaks of that text;
 * TP_ERR_BAD_ARGUMENT: not sorted, an index that doesn't fit, an unknown type, base or rule; value of tp_last_error() is
 * the entry's or block's number.
 */
TP_MUST_CHECK enum tp_status tp_unwind_add(struct tp_unwind_table *table);

/*
 * Forgets a table; when it returns no walk looks at it, and its memory may go. Walks that are under way go on by what they
 * find then. Statuses: TP_OK; TP_ERR_IMAGE_UNKNOWN; TP_ERR_IMAGE_IN_USE: it stays.
 * Context: as tp_unwind_add(), and not from an NMI: it spins until those who look something up right now have done so,
 * so they must be able to go on. A walk from an NMI or interrupt of this CPU is no hindrance.
 */
TP_MUST_CHECK enum tp_status tp_unwind_remove(struct tp_unwind_table *table);

/* ---- Walks ---- */

/* Bytes that may be read: both are addresses of words. */
struct tp_stack {
    uintptr_t start;
    uintptr_t end;
};

/*
 * The kernel's: which stack is sp on? Called in the walk's context, so wait-free and from an NMI, too, if walks are.
 * Returns false if none that could be read. sp is any number; where it is the end of a stack, that one is meant.
 */
typedef bool tp_find_stack(uintptr_t sp, struct tp_stack *stack, void *argument);

enum tp_unwind_end {
    TP_UNWIND_GOES_ON,
    TP_UNWIND_OUTERMOST, /* the table says that nobody called */
    TP_UNWIND_USER,      /* user mode was interrupted, or made the call */
    TP_UNWIND_LOST,      /* the next frame can't be found, or would be where the walk has been */
};

#define TP_UNWIND_STACKS 12 /* that one walk may go through */

struct tp_unwind {
    /* A frame. */
    uintptr_t ip;
    uintptr_t sp;
    uintptr_t bp;                 /* 0 if it is not known */
    const struct tp_regs *regs;   /* all registers, if the frame was interrupted and saved so; else NULL */
    bool behind;                  /* ip is behind what is being executed: a call, or an int3 */
    bool reliable;
    uint8_t end;                  /* enum tp_unwind_end */
    /* The library's. */
    bool bp_is_known;
    uint8_t entered_count;
    struct tp_stack stack;
    uintptr_t entered[TP_UNWIND_STACKS];
    tp_find_stack *find;
    void *argument;
};

/*
 * The first frame is what the registers say; regs is read now, and as long as it is the first frame.
 *   find: the hook; NULL: nothing may be read, and there is one frame only.
 */
void tp_unwind_start(struct tp_unwind *frame, const struct tp_regs *regs, tp_find_stack *find, void *argument);

/* The first frame is given by three registers of kernel code. */
void tp_unwind_start_at(struct tp_unwind *frame, uintptr_t ip, uintptr_t sp, uintptr_t bp, tp_find_stack *find,
                        void *argument);

/* The first frame is the function that this stands in. */
static inline __attribute__((always_inline)) void tp_unwind_here(struct tp_unwind *frame, tp_find_stack *find,
                                                                  void *argument) {
    uintptr_t ip, sp, bp;
    __asm__ volatile("leaq 1f(%%rip), %0\n1:\tmovq %%rsp, %1\n\tmovq %%rbp, %2" : "=&r"(ip), "=&r"(sp), "=r"(bp));
    tp_unwind_start_at(frame, ip, sp, bp, find, argument);
}

/* On to the caller. False: there is none, `end` says why, and all else is still the last frame's. */
bool tp_unwind_next(struct tp_unwind *frame);

/* An address inside the instruction that the frame is at: what to look up symbols and lines with. */
static inline uintptr_t tp_unwind_place(const struct tp_unwind *frame) {
    return frame->ip - frame->behind;
}

/* ---- #BP ---- */

/*
 * error_code of a frame of vector 3, for who unwinds through it. 0: rip is behind the int3. TP_BREAKPOINT_MOVED: rip is
 * where execution goes on. Else it is under way: the rip that was behind the int3, with bit 3 of the rsp that was laid
 * over bit 62; once rsp has another bit 3 the move is done.
 */
#define TP_BREAKPOINT_MOVED 1

static inline uint64_t tp_breakpoint_moving(const struct tp_regs *regs) {
    return regs->rip ^ (regs->rsp >> 3 & 1) << 62;
}

/*
 * For a #BP handler of the kernel's own, which may send the CPU somewhere else: a debugger's that has put the byte back
 * and executes it, say. rsp stays. Whoever unwinds through the frame finds the old place or the new one at each instruction.
 */
static inline void tp_breakpoint_go_to(struct tp_regs *regs, uintptr_t ip) {
    volatile struct tp_regs *frame = regs;
    const bool is_first = frame->error_code == 0; /* else it has been moved: rip is no longer behind the int3 */
    if (is_first)
        frame->error_code = tp_breakpoint_moving(regs);
    frame->rip = ip;
    if (is_first)
        frame->error_code = TP_BREAKPOINT_MOVED;
}

#ifdef __cplusplus
}
#endif
#endif
