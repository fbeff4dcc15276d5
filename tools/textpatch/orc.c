/* SPDX-License-Identifier: MIT */
/*
 * `textpatch orc`: the unwind table of a linked kernel.
 */
#include "orc.h"

#include <stdio.h>
#include <string.h>

#include <textpatch/live.h>

#include "commands.h"
#include "output.h"
#include "report.h"

struct options {
    const char *kernel;
    const char *output;
    struct orc_options table;
};

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.table = {.call_scheme = TP_CALL_SCHEME}};
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        if (strcmp(word, "--without-union") == 0)
            options.table.without_union = true;
        else if (strcmp(word, "--scheme") == 0 && i + 1 < arguments->count && read_scheme(arguments->words[i + 1]) >= 0)
            options.table.call_scheme = (uint8_t)read_scheme(arguments->words[++i]);
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
    const struct kernel_section *section = find_section(kernel, ".eh_frame");
    warn("%s: %s, so nothing is known of its C code: walks follow frame pointers there, and what they find is not "
         "reliable. Compile with -fasynchronous-unwind-tables, which is clang's default but for -ffreestanding, and "
         "have the linker script make a section .eh_frame of *(.eh_frame); else with -fno-omit-frame-pointer.",
         kernel->name, section && section->size ? "its .eh_frame speaks of the lesser part of its functions in C"
                                                : "no .eh_frame");
}

struct orc_text *describe_image(struct image *image, const struct orc_options *options) {
    const struct kernel *kernel = image->own;
    struct frame_range *ranges;
    uint32_t count;
    if (image->text_end - image->text_start > INT32_MAX)
        give_up("the text, 0x%lx to 0x%lx, is too long for a table", (unsigned long)image->text_start,
                (unsigned long)image->text_end);
    struct orc_text *text = make_text(kernel, image->text_start, image->text_end);
    text->anchor_name = image->anchor_name;
    text->anchor = image->anchor;
    bool has_frames = read_frames(text, &ranges, &count);
    if (has_frames)
        follow_frames(text, ranges, count);
    has_frames = has_frames && !lacks_frames(text);
    if (!has_frames && !options->quiet)
        warn_of_frames(kernel);
    read_hints(text);
    find_sites(text, image);
    follow_assembler(text, has_frames);
    if (!options->without_union)
        unite_forms(text, options->call_scheme);
    return text;
}

struct orc_text *describe_text(const struct kernel *kernel, const struct orc_options *options) {
    struct image *image = load_image(kernel);
    return take_records(image) ? describe_image(image, options) : NULL;
}

static void write_file(const struct orc_text *text, const char *path) {
    FILE *out = path ? fopen(path, "w") : stdout;
    if (!out)
        give_up("%s can't be written", path);
    write_table(text, out);
    bool failed = ferror(out) != 0;
    if (out != stdout)
        failed = fclose(out) != 0 || failed;
    if (failed)
        complain("%s could not be written", path ? path : "the table");
    if (count_complaints())
        remove_output(path);
}

static void make_table(void *argument) {
    struct options options = read_options(argument);
    const struct kernel *kernel = open_kernel(options.kernel);
    remove_output(options.output); /* no error from here on leaves an older one behind */
    const struct orc_text *text = describe_text(kernel, &options.table);
    if (text)
        write_file(text, options.output);
}

const struct command orc_command = {
    .name = "orc",
    .usage = "KERNEL.elf [-o FILE.s] [--scheme emulate|prefix|store] [--without-union]",
    .help = "Makes the unwind table of a linked kernel, as assembler source for a second link. It speaks of the code as\n"
            ".eh_frame says, of assembler by following it, and of sites for all their forms at once, unless\n"
            "--without-union, which is for tests that want wrong walks. Two forms that can't be spoken of at once are an\n"
            "error. --scheme: what the kernel sets as call_scheme of tp_set_live_options(), where that is TP_SCHEME_PREFIX.",
    .run = make_table,
};
