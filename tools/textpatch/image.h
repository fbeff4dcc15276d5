/* SPDX-License-Identifier: MIT */
/*
 * The kernel in memory, as the library would find it there.
 *
 * What for
 *   What a record is worth and what a site may hold is asked of the library itself. So the loaded segments are laid out
 *   in memory as they are in the kernel, some distance from where they are linked: records are self-relative and mean
 *   the same things there.
 *
 * Calls
 *   load_image()     segments and tables; gives up where the tables' symbols are not what linker/textpatch.ld makes
 *   take_records()   checks every record (records.c), then gives the tables to the library, which sorts them; false if a
 *                    record was refused, and complained of
 *   memory_at()      kernel address -> bytes in memory, NULL if they are not all in the image
 *   kernel_address() and back
 *   find_trampoline() of a static call that begins at an address; NULL if there is none
 *   find_table()     what lies between two symbols of a kernel's; gives up if it is no table
 *
 * How it works
 *   `shift` added to one of the kernel's addresses gives ours. Cells of keys hold the kernel's addresses as they are in
 *   the file; forms.c adds the shift to what it gives the library. Of a module (module.h) the kernel lies there too; sites
 *   and text are the module's alone, keys and inline forms those of both.
 */
#ifndef TOOL_IMAGE_H
#define TOOL_IMAGE_H

#include "elf.h"

#include <textpatch/engine.h>

struct site_forms;

struct trampoline {
    uint64_t address, cell;
};

struct image {
    const struct kernel *kernel; /* of a module: joined with its kernel */
    const struct kernel *own;    /* the file that was given */
    bool is_module;
    uint8_t *memory;
    uint64_t first, end; /* the kernel's addresses of what lies at `memory` */
    uintptr_t shift;
    uint64_t text_start, text_end; /* of all executable sections */
    uint64_t tables_start, tables_end;
    const char *anchor_name; /* what text has the same distance from when it is linked again, or loaded */
    uint64_t anchor;
    uint64_t names, names_end;
    struct trampoline *trampolines; /* by address; of a module: the kernel's too */
    uint32_t trampoline_count;
    uint64_t nop_function; /* tp_nop_function; 0 if the kernel has none */
    const struct tp_key **by_cell; /* check_records()'s: the keys in order of their cells */
    struct site_forms *forms; /* collect_forms()'s, by place */
    struct tp_image tables; /* for the library: addresses in our memory */
};

struct image *load_image(const struct kernel *kernel);
bool take_records(struct image *image);

uint8_t *memory_at(const struct image *image, uint64_t address, uint64_t size);
uint64_t kernel_address(const struct image *image, const void *memory);

const struct trampoline *find_trampoline(const struct image *image, uint64_t address);
void *find_table(struct image *image, const struct kernel *kernel, const char *start_name, const char *end_name,
                 size_t entry, size_t alignment, uint32_t *count);

/* What a self-relative field refers to, as an address of the kernel. */
uint64_t field_target(const struct image *image, const int32_t *field);

static inline bool lies_in_image_text(const struct image *image, uint64_t address, uint64_t size) {
    return address >= image->text_start && address < image->text_end && size <= image->text_end - address;
}

/* The records as they are in the file: before take_records() only, which sorts. */
bool check_records(struct image *image);

#endif
