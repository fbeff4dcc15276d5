/* SPDX-License-Identifier: MIT */
/*
 * textpatch/textpatch.h: all of the library's C interface. Each header opens with a manual of its own:
 *
 *   engine.h       init, apply, update, plan, audit, revert
 *   live.h         all of that while other CPUs run: batches, the #BP handler
 *   align.h        keeps sites in one quadword
 *   op.h           calls through op tables that become native instructions
 *   alternative.h  instructions chosen by CPU feature
 *   static_call.h  function pointers that cost a direct call
 *   static_key.h   branches without a branch
 *   lock_prefix.h  lock prefixes that one CPU does not need
 *   inline.h       functions that have an inline form
 *   feature.h      CPU features, and the kernel's own
 *   port.h         what the kernel gives the library
 *   record.h       the record format
 *   regs.h         the registers of what an exception interrupted
 *   status.h       what a call can answer
 * Apart from it: ops.h (ready op tables, native and Xen PV), unwind.h (stack traces), hidden.h (-fPIE), gas.h (.S files), textpatch.inc (NASM).
 */
#ifndef TEXTPATCH_TEXTPATCH_H
#define TEXTPATCH_TEXTPATCH_H

#include <textpatch/align.h>
#include <textpatch/alternative.h>
#include <textpatch/engine.h>
#include <textpatch/feature.h>
#include <textpatch/inline.h>
#include <textpatch/live.h>
#include <textpatch/lock_prefix.h>
#include <textpatch/op.h>
#include <textpatch/port.h>
#include <textpatch/record.h>
#include <textpatch/regs.h>
#include <textpatch/static_call.h>
#include <textpatch/static_key.h>
#include <textpatch/status.h>

#endif
