/* SPDX-License-Identifier: MIT */
/*
 * What unwinding costs, and the static calls that the host tool finds. This program is linked as a kernel is, by
 * tools/link --unwind: its own unwind table and its own sites are what is measured.
 *
 * Rows
 *   unwind.frame             ns a frame of a walk by the table, against a walk by frame pointers over the same stack
 *   unwind.table_ratio       bytes of a kernel's table, against those of its text
 *   unwind.build             seconds of the tool for 100,000 functions and 100,000 sites
 *   static_call.inline       ns of a call that is a site, against a direct call by hand
 *   static_call.trampoline   the same for a call that goes through the trampoline
 */
#include "bench.h"
#include "library.h"

#include <time.h>

#include <textpatch/textpatch.h>

#include "unwind.h"

static double read_clock(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        bench_die("unwind: no clock");
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double bench_nanoseconds(void) {
    static double nanoseconds;
    if (nanoseconds != 0)
        return nanoseconds;
    double began = read_clock(), now = began;
    uint64_t ticks = bench_ticks();
    while (now - began < 1e8)
        now = read_clock();
    return nanoseconds = (now - began) / (double)(bench_ticks() - ticks);
}

int main(void) {
    extern const char __executable_start[], etext[];
    static struct tp_image image;
    bench_pin();
    bench_must(tp_init(&bench_text_port));
    tp_kernel_image(&image, __executable_start, etext);
    bench_must(tp_image_add(&image));
    bench_must(tp_apply());
    bench_must(tp_audit(NULL, NULL));
    bench_frames();
    bench_static_calls();
    bench_tool();
    return 0;
}
