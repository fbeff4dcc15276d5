/* SPDX-License-Identifier: MIT */
/*
 * textpatch/status.h: what a call of the library can answer.
 *
 * What it is for
 *   No public function panics. Each returns an `enum tp_status`, and where a status is about a place in the
 *   text, `tp_last_error()` (textpatch/engine.h) says which site, what stood there and what was expected.
 *
 * Example
 *   enum tp_status status = tp_apply();
 *   if (status != TP_OK)
 *       kernel_panic(tp_status_text(status));
 *
 * Edge cases
 *   A status other than TP_OK means that the text and the state are as before the call. TP_ERR_MAP_FAILED and
 *   TP_ERR_READ_BACK come from the middle of writing: what had been written is put back. Should the port refuse that
 *   too, tp_audit() names the sites that could not be. While other CPUs run, TP_ERR_READ_BACK that comes when something
 *   else has been written for good leaves the call to go on to its end: tp_audit() names the sites. TP_ERR_CPU_SILENT and TP_ERR_CPU_BUSY leave a batch in the
 *   middle, which is safe and can be gone on with: see textpatch/live.h.
 */
#ifndef TEXTPATCH_STATUS_H
#define TEXTPATCH_STATUS_H

#define TP_MUST_CHECK __attribute__((warn_unused_result))

#ifdef __cplusplus
extern "C" {
#endif

enum tp_status {
    TP_OK = 0,
    /* The order of calls. */
    TP_ERR_NOT_INITIALIZED,     /* a call before tp_init() */
    TP_ERR_ALREADY_INITIALIZED, /* tp_init() twice */
    TP_ERR_NOT_APPLIED,         /* tp_revert() with nothing to revert */
    TP_ERR_IMAGE_KNOWN,         /* an image added twice */
    TP_ERR_IMAGE_UNKNOWN,       /* an image that was never added, or was removed */
    TP_ERR_IMAGE_IN_USE,        /* another image's sites depend on this one's keys or call into its text */
    TP_ERR_IMAGE_OVERLAP,       /* two images claim the same text */
    TP_ERR_CPUS_RUNNING,        /* not while other CPUs run the text */
    TP_ERR_WRONG_CONTEXT,       /* the port says that this context may not wait */
    TP_ERR_BATCH_OPEN,          /* this caller has a batch open */
    TP_ERR_NO_BATCH,            /* this caller has none */
    TP_ERR_BATCH_STUCK,         /* text is half patched: tp_batch_resume() is the only way on */
    /* The kernel's side. */
    TP_ERR_BAD_ARGUMENT,
    TP_ERR_PORT_HOOK_MISSING, /* tp_last_error()->hook names it */
    TP_ERR_MAP_FAILED,        /* the port gave no writable alias */
    TP_ERR_NO_BREAKPOINT,     /* an int3 does not reach tp_handle_breakpoint() */
    TP_ERR_CPU_SILENT,        /* a CPU did not answer in time: tp_last_error()->value is its number */
    TP_ERR_CPU_BUSY,          /* a CPU was found inside a site at every try */
    /* The tables. */
    TP_ERR_EMPTY_TABLE,          /* no record at all: most likely a linker script without the fragment's KEEP */
    TP_ERR_RECORD_VERSION,       /* records emitted by headers of another version */
    TP_ERR_UNKNOWN_KIND,
    TP_ERR_UNKNOWN_FEATURE,
    TP_ERR_UNKNOWN_KEY,          /* a site's cell has no key record: TP_OP() is missing for the slot */
    TP_ERR_DUPLICATE_KEY,        /* two key records for one cell */
    TP_ERR_SITE_LENGTH,          /* a length that the kind can't have */
    TP_ERR_SITE_OUTSIDE_IMAGE,
    TP_ERR_SITE_OVERLAP,
    TP_ERR_NESTED_TOO_DEEP,
    TP_ERR_FORM_OUTSIDE_IMAGE,   /* a replacement or an original's copy is not in its section */
    TP_ERR_REPLACEMENT_TOO_LONG, /* longer than its site */
    TP_ERR_BAD_INLINE,           /* an inline form that is no run of whole instructions, or can't be moved */
    /* Instructions. */
    TP_ERR_TRUNCATED_INSN, /* the bytes end inside an instruction */
    TP_ERR_BAD_INSN,       /* no instruction, or longer than 15 bytes */
    TP_ERR_OUT_OF_REACH,   /* a target farther away than the operand holds */
    TP_ERR_CLASS_IMPOSSIBLE, /* the site can't be changed while CPUs run, or not by the class that was asked for */
    /* The text. */
    TP_ERR_UNEXPECTED_BYTES, /* the text is not what the records say: nothing was written */
    TP_ERR_READ_BACK,        /* the text did not take what was written */
    TP_ERR_TEXT_DIFFERS,     /* audit: at least one site's bytes are not what the state says */
    TP_STATUS_COUNT
};

/*
 * The status as a phrase of English, never NULL; no line end.
 * Context: any, needs no init. Returns a constant string.
 */
const char *tp_status_text(enum tp_status status);

#ifdef __cplusplus
}
#endif
#endif
