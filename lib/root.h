/* SPDX-License-Identifier: MIT */
/*
 * Where `textpatch check` begins to look for sites that must not be: what #BP enters, what changes text while other CPUs
 * run, and what either calls through a pointer. The tool knows them by name (tools/textpatch/check_calls.c), so each must
 * be a function of its own in the kernel, whatever the compiler knows of the rest of it (LTO).
 */
#ifndef TP_ROOT_H
#define TP_ROOT_H

#if defined(__has_attribute)
#if __has_attribute(noclone)
#define TP_ROOT __attribute__((noinline, used, noclone))
#endif
#endif
#ifndef TP_ROOT
#define TP_ROOT __attribute__((noinline, used))
#endif

#endif
