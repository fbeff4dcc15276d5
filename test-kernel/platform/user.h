/* SPDX-License-Identifier: MIT */
/*
 * Ring 3: processes with address spaces of their own, that a CPU runs until all of
 * them have ended.
 *
 *   static struct process process;
 *   set_syscall_handler(answer);                       // regs->rax: number and result
 *   make_process(&process, "survivor", survivor, 0);   // survivor: NASM, section .user_text
 *   run_processes((struct process *[]){ &process }, 1);
 *   if (process.state != PROCESS_EXITED) ...
 *
 * A process is nothing but its registers and its address space: the kernel never
 * sleeps in its name, so that one stack a CPU does for all entries from user mode, and
 * who changes the frame on it changes who goes on. That is what the functions below
 * that take `regs` do. They need a frame whose every slot is filled: exceptions and
 * interrupts have that, and system calls from number FIRST_COMPLETE_SYSCALL on.
 *
 * What a program finds (the same addresses in every process):
 *   USER_TEXT        the section .user_text of the image, readable and executable: position-independent
 *   USER_LAST_PAGE   the section .user_last (one page, if there is any), likewise: the last page of the
 *                    lower half, where the address behind a syscall is none
 *   USER_DATA        USER_DATA_SIZE bytes of its own, writable, zero at first; the kernel sees
 *                    them at process->data. The stack begins at their end.
 */
#ifndef PLATFORM_USER_H
#define PLATFORM_USER_H

#include "platform.h"

#define USER_TEXT       0x400000ul
#define USER_DATA       0x600000ul
#define USER_DATA_SIZE  0x4000ul
#define USER_STACK_TOP  (USER_DATA + USER_DATA_SIZE)
#define USER_LAST_PAGE  0x7ffffffff000ul

enum {
	MAXIMUM_PROCESSES = 16,         /* on all CPUs together, between make_process() and release */
	FIRST_COMPLETE_SYSCALL = 64,    /* as in platform.inc */
};

enum process_state {
	PROCESS_READY,
	PROCESS_RUNNING,
	PROCESS_EXITED,    /* result: what it said */
	PROCESS_KILLED,    /* result: the vector; the registers are as they were then */
};

struct process {
	struct tp_regs regs;       /* while it doesn't run */
	const char *name;
	enum process_state state;
	uint64_t result;
	const char *doom;          /* why it is killed as soon as its frame is complete */
	uint64_t gs_base;          /* loaded whenever it goes on; see set_process_gs_base() */
	uint8_t *data;
	unsigned space;            /* which address space */
};

/* `entry` is a label in .user_text; the first argument arrives in rdi. Panics if
 * there are too many. */
void make_process(struct process *process, const char *name, const void *entry, uint64_t argument);
/* Gives the address space back. */
void release_process(struct process *process);
/* A label of .user_text, as the program sees it, and back; NULL: nothing is there. */
uint64_t user_address(const void *label);
const void *user_label(uint64_t address);

/* Runs them on this CPU, in turns as switch_process() is called, until all have
 * ended. Interrupts are unmasked in user mode and afterwards as they were. Not from an
 * interrupt. */
void run_processes(struct process *const *processes, unsigned count);

/* Who was running in user mode on this CPU when the frame was made; NULL: the kernel. */
struct process *current_process(void);
bool is_from_user(const struct tp_regs *regs);

/* The next one that is ready goes on, if there is another. Also from an interrupt that
 * came from user mode. */
void switch_process(struct tp_regs *regs);
/* A child with a copy of the data and of the frame, but rax = 0; it becomes ready on
 * this CPU. The parent's rax: 1. */
void fork_process(struct tp_regs *regs, struct process *child, const char *name);
/* The next one goes on, or, if there is none, run_processes() returns. */
void exit_process(struct tp_regs *regs, uint64_t result);
/* The same, and says in one line who is killed where, and why: `reason`. From any system
 * call: where the frame isn't complete, the program dies at its next instruction. */
void kill_process(struct tp_regs *regs, const char *reason);
/* Of the current one, at once; canonical. A system call may. */
void set_process_gs_base(uint64_t base);

/* By syscall and by int 0x80, interrupts masked. Result in regs->rax. Without one, programs that
 * call are killed. Returns the one before. */
typedef void (*syscall_handler)(struct tp_regs *regs);
syscall_handler set_syscall_handler(syscall_handler handler);
/* From the entries. */
void handle_syscall(struct tp_regs *regs);

#endif
