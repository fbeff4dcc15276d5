/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

struct reserved {
    void *memory;
    size_t size;
};

enum { RESERVED_MAX = 8 };

static struct reserved reserved[RESERVED_MAX];
static unsigned reserved_count;
static struct piece *pieces;
static const char *input_name;
static void (*listen)(const char *);
static unsigned complaints;
static bool guarded;
static jmp_buf escape;

void name_input(const char *name) {
    input_name = name;
}

void set_listener(void (*listener)(const char *)) {
    listen = listener;
}

unsigned count_complaints(void) {
    return complaints;
}

static void tell(const char *format, va_list arguments) {
    char text[4096];
    int used = snprintf(text, sizeof text, "textpatch: %s%s", input_name ? input_name : "", input_name ? ": " : "");
    if (used < 0 || (size_t)used >= sizeof text)
        used = 0;
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    complaints++;
    if (listen)
        listen(text);
    else
        fprintf(stderr, "%s\n", text);
}

void complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
}

void give_up(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
    if (guarded)
        longjmp(escape, 1);
    exit(1);
}

/* What was there before stays. */
static void free_until(const struct piece *last, unsigned reserved_before) {
    while (reserved_count > reserved_before) {
        reserved_count--;
        munmap(reserved[reserved_count].memory, reserved[reserved_count].size);
    }
    while (pieces != last) {
        struct piece *next = pieces->next;
        free(pieces);
        pieces = next;
    }
}

bool run_guarded(void (*run)(void *), void *argument) {
    struct piece *volatile before = pieces;
    volatile unsigned reserved_before = reserved_count;
    complaints = 0;
    guarded = true;
    if (setjmp(escape) == 0)
        run(argument);
    guarded = false;
    input_name = NULL;
    free_until(before, reserved_before);
    return complaints == 0;
}

void *allocate(size_t count, size_t size) {
    if (size && count > (SIZE_MAX / 2 - sizeof(struct piece)) / size)
        give_up("%zu entries of %zu bytes are more than memory can hold", count, size);
    struct piece *piece = calloc(1, sizeof *piece + count * size);
    if (!piece)
        give_up("no memory for %zu entries of %zu bytes", count, size);
    piece->next = pieces;
    pieces = piece;
    return piece->bytes;
}

void *grow(const void *old, size_t old_count, size_t count, size_t size) {
    void *bigger = allocate(count, size);
    if (old_count)
        memcpy(bigger, old, old_count * size);
    return bigger;
}

void *reserve(uint64_t size) {
    void *memory = MAP_FAILED;
    if (size && reserved_count < RESERVED_MAX)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        give_up("no memory for an image of 0x%lx bytes", (unsigned long)size);
    reserved[reserved_count++] = (struct reserved){memory, size};
    return memory;
}

const char *format_text(const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = allocate(size, 1);
    if (length >= 0)
        vsnprintf(text, size, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}
