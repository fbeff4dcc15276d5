/* SPDX-License-Identifier: MIT */
/*
 * Phrases for numbers. One string each, indexed by the number: no table of pointers, which would need relocating.
 */
#include <textpatch/live.h>

/* Phrases follow one another, each ended by a NUL. */
static const char *nth_phrase(const char *phrases, unsigned count, unsigned n) {
    if (n >= count)
        return "unknown";
    while (n--)
        while (*phrases++)
            ;
    return phrases;
}

const char *tp_status_text(enum tp_status status) {
    static const char phrases[] = "no error\0"
                                  "the library is not initialised\0"
                                  "the library is initialised already\0"
                                  "nothing has been applied\0"
                                  "the image is known already\0"
                                  "the image is not known\0"
                                  "another image depends on this one\0"
                                  "the image's text overlaps another image's\0"
                                  "not while other CPUs run\0"
                                  "this context may not wait for other CPUs\0"
                                  "this caller has a batch open\0"
                                  "this caller has no batch\0"
                                  "the batch stopped half way: tp_batch_resume()\0"
                                  "bad argument\0"
                                  "the port lacks a hook\0"
                                  "the port gave no writable alias\0"
                                  "an int3 does not reach tp_handle_breakpoint()\0"
                                  "a CPU did not answer in time\0"
                                  "a CPU was inside a site at every try\0"
                                  "empty table: does the linker script KEEP the records?\0"
                                  "records of another version\0"
                                  "unknown kind of site\0"
                                  "unknown feature\0"
                                  "unknown key: is the slot declared with TP_OP()?\0"
                                  "two keys for one cell\0"
                                  "impossible length of a site\0"
                                  "site outside the image\0"
                                  "sites overlap\0"
                                  "sites nested too deep\0"
                                  "form outside the image\0"
                                  "replacement longer than its site\0"
                                  "unsound inline form\0"
                                  "bytes end inside an instruction\0"
                                  "no instruction, or one that can't be moved\0"
                                  "target out of reach\0"
                                  "the site can't be changed so while CPUs run\0"
                                  "unexpected bytes in the text\0"
                                  "the text did not take what was written\0"
                                  "the text is not what the state says";
    return nth_phrase(phrases, TP_STATUS_COUNT, (unsigned)status);
}

const char *tp_kind_text(unsigned kind) {
    static const char phrases[] = "unknown\0alternative\0op\0static call\0trampoline\0static key\0lock prefix";
    return nth_phrase(phrases, TP_KIND_LOCK_PREFIX + 1, kind);
}

const char *tp_form_text(unsigned form) {
    static const char phrases[] = "original\0replacement\0inline\0direct\0nop\0jump\0return\0trap\0prefix";
    return nth_phrase(phrases, TP_FORM_PREFIX + 1, form);
}

const char *tp_class_text(unsigned value) {
    static const char phrases[] = "store\0trap\0rendezvous\0none";
    return nth_phrase(phrases, TP_CLASS_NONE + 1, value);
}

const char *tp_assurance_text(unsigned value) {
    static const char phrases[] = "documented\0vendor's word\0practice";
    return nth_phrase(phrases, TP_ASSURANCE_PRACTICE + 1, value);
}

const char *tp_step_text(unsigned value) {
    static const char phrases[] = "begin\0set\0int3\0sync after int3\0tail\0sync after tail\0first\0store\0"
                                  "last sync\0stopped\0end";
    return nth_phrase(phrases, TP_STEPS, value);
}
