/* SPDX-License-Identifier: MIT */
/*
 * `textpatch check`: proves every record against the text.
 */
#include <string.h>

#include "check.h"
#include "commands.h"
#include "report.h"

struct options {
    const char *kernel, *first;
    const char **hooks;
    bool verbose;
};

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.hooks = allocate((size_t)arguments->count + 1, sizeof *options.hooks)};
    unsigned hooks = 0;
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        bool more = i + 1 < arguments->count;
        if (strcmp(word, "--verbose") == 0)
            options.verbose = true;
        else if (strcmp(word, "--against") == 0 && more)
            options.first = arguments->words[++i];
        else if (strcmp(word, "--hook") == 0 && more)
            options.hooks[hooks++] = arguments->words[++i];
        else if (word[0] == '-' || options.kernel)
            refuse_usage(&check_command);
        else
            options.kernel = word;
    }
    if (!options.kernel)
        refuse_usage(&check_command);
    return options;
}

void prove_kernel(const struct kernel *kernel, const char *const *hooks, bool verbose) {
    struct image *image = load_image(kernel);
    check_segments(image);
    if (!take_records(image))
        return;
    check_text(image);
    check_forms(image);
    check_calls(image, hooks);
    if (verbose)
        print_geometry(image);
}

static void check_kernel(void *argument) {
    struct options options = read_options(argument);
    const struct kernel *kernel = open_kernel(options.kernel);
    if (options.first)
        check_same_text(kernel, open_kernel(options.first));
    name_input(options.kernel);
    prove_kernel(kernel, options.hooks, options.verbose);
}

const struct command check_command = {
    .name = "check",
    .usage = "KERNEL.elf [--against FIRST.elf] [--hook FUNCTION]… [--verbose]",
    .help = "Proves every record of every kind against the text; says nothing about a kernel that is fine.\n"
            "--against: the text's addresses are those of an earlier link. --hook: a function that the port gives the\n"
            "library, which then may hold no site either. --verbose: how the sites lie.",
    .run = check_kernel,
};
