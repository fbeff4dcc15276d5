/* SPDX-License-Identifier: MIT */
/*
 * `textpatch orc`: the unwind table of a linked kernel.
 */
#include "orc.h"

#include <string.h>

#include "commands.h"
#include "report.h"

struct options {
    const char *kernel;
    const char *output;
    bool without_union;
};

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.kernel = NULL};
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        if (strcmp(word, "--without-union") == 0)
            options.without_union = true;
        else if (strcmp(word, "-o") == 0 && i + 1 < arguments->count)
            options.output = arguments->words[++i];
        else if (word[0] == '-' || options.kernel)
            refuse_usage(&orc_command);
        else
            options.kernel = word;
    }
    if (!options.kernel)
        refuse_usage(&orc_command);
    return options;
}

static void warn_of_frames(const struct kernel *kernel) {
    warn("%s: no .eh_frame, so nothing is known of its C code: walks follow frame pointers there, and what they find "
         "is not reliable. Compile with -fasynchronous-unwind-tables (clang with -ffreestanding wants to be told), and have "
         "the linker script keep *(.eh_frame); else with -fno-omit-frame-pointer.", kernel->name);
}

static void make_table(void *argument) {
    struct options options = read_options(argument);
    const struct kernel *kernel = open_kernel(options.kernel);
    struct image *image = load_image(kernel);
    struct frame_range *ranges;
    uint32_t count;
    if (image->text_end - image->text_start > INT32_MAX)
        give_up("the text, 0x%lx to 0x%lx, is too long for a table", (unsigned long)image->text_start,
                (unsigned long)image->text_end);
    if (!take_records(image))
        return;
    struct orc_text *text = make_text(kernel, image->text_start, image->text_end);
    bool has_frames = read_frames(text, &ranges, &count);
    if (has_frames)
        follow_frames(text, ranges, count);
    else
        warn_of_frames(kernel);
    read_hints(text);
    find_sites(text, image);
    follow_assembler(text, has_frames);
    if (!options.without_union)
        unite_forms(text);
    write_table(text, image->tables_start, options.output);
}

const struct command orc_command = {
    .name = "orc",
    .usage = "KERNEL.elf [-o FILE.s] [--without-union]",
    .help = "Makes the unwind table of a linked kernel, as assembler source for a second link. It speaks of the code as\n"
            ".eh_frame says, of assembler by following it, and of sites for all their forms at once, unless\n"
            "--without-union, which is for tests that want wrong walks. Two forms that can't be spoken of at once are an\n"
            "error.",
    .run = make_table,
};
