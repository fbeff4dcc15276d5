/* SPDX-License-Identifier: MIT */
/*
 * textpatch/engine.h: make the text match the state, and prove that it does.
 *
 * What it is for
 *   What a site should hold is a function of its record and of the state that it names: CPU features, an op slot, a
 *   static call's target, a static key's count. The calls below set state, and make the text follow.
 *
 * The calls
 *   tp_init             once, before all others
 *   tp_image_add        the kernel's tables, later a module's: validates, sorts, indexes; writes no text
 *   tp_feature_set …    textpatch/feature.h
 *   tp_apply            every site of every image gets what the state says
 *   tp_key_update       one slot, static call or static key, and its sites
 *   tp_plan             what tp_apply would change, without touching text
 *   tp_audit            every site whose bytes are not what the state says
 *   tp_revert           every site gets its pristine bytes back
 *   tp_image_remove, tp_finish
 *   tp_for_each_site, tp_describe_site, tp_last_error, tp_format_error
 *
 * Example, all that a kernel does at boot
 *   static struct tp_image kernel;
 *   tp_kernel_image(&kernel, text_start, text_end);
 *   if (tp_init(NULL) || tp_image_add(&kernel) || tp_apply())
 *       panic(tp_status_text(tp_last_error()->status));
 *
 * How it works
 *   Two passes. The first renders every site twice, as it is and as it should be, and where these differ compares the
 *   text with the former; the second writes the latter and reads it back. An error in the first pass means that
 *   nothing changed. The state is latched when the first pass begins. Sites that need no change are left to
 *   tp_audit(), which looks at all of them.
 *
 * Context of all calls that write
 *   At boot: one CPU, interrupts off, nobody in the middle of a site (any moment early at boot). Not from an NMI or #BP.
 *   While other CPUs run (tp_cpus_running()): where the port's may_wait says yes; callers take turns (textpatch/live.h).
 *
 * Edge cases
 *   - An image without a single record is TP_ERR_EMPTY_TABLE: the usual cause is a linker script that drops the
 *     tables. A module that really has no site need not be added.
 *   - Op slots may be assigned directly (`pv_ops.save_fl = xen_save_fl`); the text follows at the next tp_apply().
 */
#ifndef TEXTPATCH_ENGINE_H
#define TEXTPATCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <textpatch/feature.h>
#include <textpatch/port.h>
#include <textpatch/record.h>
#include <textpatch/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TP_MESSAGE_MAX 384

/* The sites of one linked object. The fields above the line are the caller's; zero the rest. */
struct tp_image {
    const char *name;
    /* All executable bytes of the image lie in [text_start, text_end); nothing that others write lies in the aligned
     * quadwords at both ends. */
    uintptr_t text_start;
    uintptr_t text_end;
    struct tp_site *sites; /* writable */
    uint32_t site_count;
    struct tp_key *keys; /* writable */
    uint32_t key_count;
    struct tp_inline *inlines; /* writable */
    uint32_t inline_count;
    const uint8_t *originals, *originals_end;
    const uint8_t *replacements, *replacements_end;
    uint32_t *index; /* writable, site_count entries */
    /* The library's. */
    struct tp_image *next;
    uint32_t place_count;    /* records of sites in the text: they come first */
    uint32_t template_count; /* then records of sites inside replacements */
    uint32_t group_start;    /* first entry of the index that belongs to a key */
    uint64_t places_per_byte; /* of text, as a fraction of 2^32: where to begin looking for a place */
    bool applied;
    bool fresh;              /* added while other CPUs run, which can't have executed it */
    uintptr_t edit_start, edit_end; /* of a live pass: the stretch that it writes, and its alias */
    uint8_t *alias;
};

/* What a site holds, or is about to. */
enum tp_form_kind {
    TP_FORM_ORIGINAL,
    TP_FORM_REPLACEMENT,
    TP_FORM_INLINE,
    TP_FORM_DIRECT,
    TP_FORM_NOP,
    TP_FORM_JUMP,
    TP_FORM_RETURN,
    TP_FORM_TRAP,
    TP_FORM_PREFIX,
};

/* One site, described. */
struct tp_site_info {
    const struct tp_image *image;
    uintptr_t address;
    const char *key;   /* name of the op, static call or static key; NULL for the other kinds */
    const void *cell;  /* its cell */
    uint16_t feature;  /* alternatives: as in the record */
    uint8_t length;    /* bytes */
    uint8_t kind;      /* TP_KIND_… */
    uint8_t form;      /* enum tp_form_kind: of the bytes that the library put there */
    bool nested;       /* rendered as a part of an alternative around it */
};

/* One change that tp_apply would make. */
struct tp_edit_info {
    struct tp_site_info site;
    uint8_t new_form; /* enum tp_form_kind */
    uint8_t class_chosen; /* how it would be changed while CPUs run: enum tp_class of live.h, or TP_CLASS_NONE */
    uint8_t assurance;    /* what that stands on: enum tp_assurance of live.h */
    const uint8_t *old_bytes, *new_bytes; /* site.length bytes each, valid during the call */
};

/* What went wrong, where. Fields that don't apply are 0. */
struct tp_error {
    enum tp_status status;
    const char *image;
    const char *hook;    /* of the port */
    const char *key;     /* name, if the site has one */
    uintptr_t site;      /* address */
    uint64_t value;      /* the offending feature, kind, target or neighbour's address */
    int64_t distance;    /* TP_ERR_OUT_OF_REACH: bytes from the operand's end to its target */
    uint8_t length;      /* of the site */
    uint8_t shown;       /* bytes below that count, at most 16 */
    uint8_t offset;      /* of the first of them in the site: not 0 where a long site differs further on */
    uint8_t found[16];
    uint8_t expected[16];
};

/*
 * Starts the library: reads CPUID, takes the port.
 *   port: NULL for none (bare metal, boot only); else it stays in use.
 * Context: early, one CPU. Statuses: TP_OK, TP_ERR_ALREADY_INITIALIZED, TP_ERR_PORT_HOOK_MISSING.
 */
TP_MUST_CHECK enum tp_status tp_init(const struct tp_port *port);

/*
 * Fills an image from the symbols of linker/textpatch.ld.
 *   image: zeroed or not; text_start, text_end: bounds of the kernel's text, bytes.
 * Context: any. An object that is linked without the fragment gets empty tables, which tp_image_add() refuses.
 */
void tp_kernel_image(struct tp_image *image, const void *text_start, const void *text_end);

/*
 * Takes an image: validates each record, sorts them by address, groups them by key. No text is written.
 * Context: tp_init() done; one caller at a time, or while other CPUs run as tp_apply(); then it must be an image that none
 * of them executes yet. The image and its tables must live until tp_image_remove(), and be writable: a live pass notes
 * in its sites' records which it is changing.
 * Statuses: TP_OK, and those of "the tables" and "instructions" in status.h, TP_ERR_NOT_INITIALIZED, TP_ERR_BATCH_OPEN,
 * TP_ERR_WRONG_CONTEXT, TP_ERR_PORT_HOOK_MISSING,
 * TP_ERR_IMAGE_KNOWN, TP_ERR_IMAGE_OVERLAP, TP_ERR_BAD_ARGUMENT, and TP_ERR_IMAGE_IN_USE where a slot that has been
 * applied points into the image already. After an error the image is not in use; its
 * records may have been reordered, and it can be added again.
 */
TP_MUST_CHECK enum tp_status tp_image_add(struct tp_image *image);

/*
 * Forgets an image. Its text stays as it is. While other CPUs run it returns when no #BP handler looks at it any more.
 * Context: as tp_image_add(). Statuses: TP_OK, TP_ERR_IMAGE_UNKNOWN, TP_ERR_IMAGE_IN_USE, TP_ERR_NOT_INITIALIZED,
 * TP_ERR_BATCH_OPEN, TP_ERR_WRONG_CONTEXT, TP_ERR_PORT_HOOK_MISSING; TP_ERR_CPU_SILENT: the image is still in use.
 */
TP_MUST_CHECK enum tp_status tp_image_remove(struct tp_image *image);

/*
 * Brings every site of every image to the wanted state.
 * Context: see above. Statuses: TP_OK; TP_ERR_NOT_INITIALIZED; TP_ERR_EMPTY_TABLE if no image was added;
 * TP_ERR_BATCH_OPEN; TP_ERR_PORT_HOOK_MISSING; TP_ERR_OUT_OF_REACH; TP_ERR_UNEXPECTED_BYTES; while other CPUs run also
 * TP_ERR_WRONG_CONTEXT, TP_ERR_CLASS_IMPOSSIBLE; TP_ERR_NESTED_TOO_DEEP where a replacement holds itself. With all of
 * these nothing was changed. TP_ERR_MAP_FAILED, TP_ERR_READ_BACK: what was written has been put back, as far as it can be (status.h).
 * TP_ERR_CPU_SILENT, TP_ERR_CPU_BUSY: to be gone on with, see textpatch/live.h.
 */
TP_MUST_CHECK enum tp_status tp_apply(void);

/*
 * Gives every site of every image its pristine bytes, those that the linker put there.
 * Context and statuses as tp_apply(), and TP_ERR_NOT_APPLIED. While other CPUs run: an alternative whose original is a call
 * with padding behind it goes back, but can't be applied again (TP_ERR_CLASS_IMPOSSIBLE).
 */
TP_MUST_CHECK enum tp_status tp_revert(void);

/*
 * Sets one cell (an op slot, a static call, a static key) and brings its sites up to date, in that order of
 * checks: nothing is set or written if a site can't follow.
 *   cell: its address; value: what the 8 bytes shall hold.
 * Context: as tp_apply(); before the first tp_apply() the cell is set and the text left alone.
 * Statuses: as tp_apply(), and TP_ERR_UNKNOWN_KEY.
 * tp_key_add adds `change` to a static key's count; also TP_ERR_BAD_ARGUMENT where the count would fall below 0.
 */
TP_MUST_CHECK enum tp_status tp_key_update(void *cell, uint64_t value);
TP_MUST_CHECK enum tp_status tp_key_add(void *cell, int64_t change);

/* An op slot's new function; `slot` as in TP_OP(). */
#define tp_op_update(slot, function)                                                                           \
    __extension__({                                                                                            \
        __typeof__(slot) tp_checked = (function);                                                              \
        tp_key_update((void *)&(slot), (uint64_t)(uintptr_t)tp_checked);                                       \
    })

/*
 * How many CPUs run. 1 (at init) lets lock prefixes go and the boot writer write; the text follows at tp_apply().
 * With more than one, tp_apply() is allowed only to put back lock prefixes before the second CPU starts: call this
 * with 2, tp_apply(), then tp_cpus_running().
 * Statuses: TP_OK, TP_ERR_BAD_ARGUMENT for 0, TP_ERR_NOT_INITIALIZED; TP_ERR_CPUS_RUNNING for 1 while others run: first
 * take them down and call tp_cpus_running(false).
 */
TP_MUST_CHECK enum tp_status tp_set_cpu_count(unsigned count);
/*
 * From here on other CPUs execute the text: calls that write do so live (textpatch/live.h), or answer
 * TP_ERR_PORT_HOOK_MISSING where the port can't. With a port that can, one int3 is executed here, to see that #BP leads
 * to tp_handle_breakpoint(): the gate must be set. false: this CPU is alone again.
 * Context: as tp_set_cpu_count(). Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_BATCH_OPEN; TP_ERR_NO_BREAKPOINT;
 * TP_ERR_NOT_APPLIED if the text has been applied for one CPU, so that lock prefixes are missing from it.
 */
TP_MUST_CHECK enum tp_status tp_cpus_running(bool running);

/*
 * Calls `visit` for each change that tp_apply would make; touches no text, but notes the state in the keys. A visit
 * that returns false ends the walk.
 * Context: after tp_init(). Statuses: as tp_apply(), less those of writing.
 */
TP_MUST_CHECK enum tp_status tp_plan(bool (*visit)(const struct tp_edit_info *, void *), void *argument);

/*
 * Compares every site with what the library put there (or, before tp_apply(), with its pristine form).
 *   visit: called for each site that differs, with what stands there and what should; may be NULL.
 * Context: any that may read the text; while other CPUs run as tp_apply(), since it waits for who changes it. Statuses:
 * TP_OK, TP_ERR_TEXT_DIFFERS (tp_last_error() has the first one), TP_ERR_NOT_INITIALIZED, TP_ERR_BATCH_OPEN,
 * TP_ERR_WRONG_CONTEXT.
 */
struct tp_difference {
    struct tp_site_info site;
    const uint8_t *found, *expected; /* site.length bytes each, valid during the call */
};
TP_MUST_CHECK enum tp_status tp_audit(void (*visit)(const struct tp_difference *, void *), void *argument);

/*
 * Calls `visit` for each site of each image, in order of address within an image; false ends the walk.
 * Context: any, after tp_init().
 */
void tp_for_each_site(bool (*visit)(const struct tp_site_info *, void *), void *argument);

/*
 * Describes the site that holds an address (the innermost, if one lies in another).
 *   address: of any byte of the site. Context: any, NMI and #UD handlers too; takes no lock, calls no hook. Where images
 *   may be removed meanwhile, with interrupts off.
 * Returns false if no site is there.
 */
bool tp_describe_site(uintptr_t address, struct tp_site_info *info);

/* Names for the numbers above; never NULL. Context: any. */
const char *tp_kind_text(unsigned kind);
const char *tp_form_text(unsigned form);

/* The last error of any call, of any caller, since tp_init(); never NULL; .status is TP_OK if there was none. Context: any. */
const struct tp_error *tp_last_error(void);

/*
 * Writes an error as one line of English, NUL-terminated, cut to `size` bytes; no line end.
 *   TP_MESSAGE_MAX bytes hold any message; names are cut to 56 characters. Context: any.
 */
void tp_format_error(const struct tp_error *error, char *text, size_t size);

/*
 * Ends the library's use: forgets images, state and port, so that tp_init() may be called again. Text stays as it is;
 * an image that is to be added again needs its pristine text: tp_revert() first.
 * Context: as tp_image_remove(). Statuses: TP_OK, TP_ERR_NOT_INITIALIZED, TP_ERR_CPUS_RUNNING while
 * tp_cpus_running(true) holds.
 */
TP_MUST_CHECK enum tp_status tp_finish(void);

#ifdef __cplusplus
}
#endif
#endif
