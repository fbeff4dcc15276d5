/* SPDX-License-Identifier: MIT */
#include "library.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bench.h"

void bench_must(enum tp_status status) {
    static char message[TP_MESSAGE_MAX];
    if (status == TP_OK)
        return;
    tp_format_error(tp_last_error(), message, sizeof message);
    bench_die("%s: %s", program_invocation_short_name, message);
}

static void protect(uintptr_t address, size_t length, int protection) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = address & ~(page - 1);
    if (mprotect((void *)start, address + length - start, protection) != 0)
        bench_die("%s: mprotect failed", program_invocation_short_name);
}

static void *map_text(uintptr_t address, size_t length) {
    protect(address, length, PROT_READ | PROT_WRITE | PROT_EXEC);
    return (void *)address;
}

static void unmap_text(void *alias, size_t length) {
    protect((uintptr_t)alias, length, PROT_READ | PROT_EXEC);
}

const struct tp_port bench_text_port = {.map_text = map_text, .unmap_text = unmap_text};
