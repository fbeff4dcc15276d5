/* SPDX-License-Identifier: MIT */
/*
 * `textpatch check`: proves every record against the text.
 */
#include <string.h>

#include <textpatch/live.h>

#include "check.h"
#include "check_map.h"
#include "commands.h"
#include "forms.h"
#include "report.h"

struct options {
    const char *kernel, *first;
    const char **hooks, **ports, **ends;
    struct check_options checks;
};

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.hooks = allocate((size_t)arguments->count + 1, sizeof *options.hooks),
                              .ports = allocate((size_t)arguments->count + 1, sizeof *options.ports),
                              .ends = allocate((size_t)arguments->count + 1, sizeof *options.ends),
                              .checks = {.call_scheme = TP_CALL_SCHEME}};
    unsigned hooks = 0, ports = 0, ends = 0;
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        bool more = i + 1 < arguments->count;
        if (strcmp(word, "--verbose") == 0)
            options.checks.verbose = true;
        else if (strcmp(word, "--against") == 0 && more)
            options.first = arguments->words[++i];
        else if (strcmp(word, "--hook") == 0 && more)
            options.hooks[hooks++] = arguments->words[++i];
        else if (strcmp(word, "--port") == 0 && more)
            options.ports[ports++] = arguments->words[++i];
        else if (strcmp(word, "--no-return") == 0 && more)
            options.ends[ends++] = arguments->words[++i];
        else if (strcmp(word, "--scheme") == 0 && more && read_scheme(arguments->words[i + 1]) >= 0)
            options.checks.call_scheme = (uint8_t)read_scheme(arguments->words[++i]);
        else if (word[0] == '-' || options.kernel)
            refuse_usage(&check_command);
        else
            options.kernel = word;
    }
    if (!options.kernel)
        refuse_usage(&check_command);
    options.checks.hooks = options.hooks;
    options.checks.ports = options.ports;
    options.checks.ends = options.ends;
    return options;
}

void prove_kernel(const struct kernel *kernel, const struct check_options *options) {
    unsigned before = count_complaints();
    struct image *image = load_image(kernel);
    check_segments(image);
    if (!take_records(image))
        return;
    const struct text_map *map = map_text(image);
    check_places(image);
    check_cells(image);
    check_text(image, map);
    check_forms(image, map, options->call_scheme);
    check_calls(image, map, options);
    if (count_complaints() == before) /* else it is of no such text */
        check_unwind(image, options);
    if (options->verbose)
        print_geometry(image);
}

static void check_kernel(void *argument) {
    struct options options = read_options(argument);
    const struct kernel *kernel = open_kernel(options.kernel);
    if (options.first)
        check_same_text(kernel, open_kernel(options.first));
    name_input(options.kernel);
    prove_kernel(kernel, &options.checks);
}

const struct command check_command = {
    .name = "check",
    .usage = "KERNEL.elf [--against FIRST.elf] [--port OBJECT]… [--hook FUNCTION]…\n"
             "    [--no-return FUNCTION]… [--scheme emulate|prefix|store] [--verbose]",
    .help = "Proves every record of every kind against the text; says nothing about a kernel that is fine.\n"
            "--against: the text's addresses are those of an earlier link. --hook: a function that the port gives the\n"
            "library, or that one of these calls through a pointer: it may hold no site either. --port: a struct tp_port\n"
            "with all of its hooks. --no-return: a function that ends all, such as panic(): what it does is not looked at.\n"
            "--scheme: what the kernel sets as call_scheme of\n"
            "tp_set_live_options(), where that is TP_SCHEME_PREFIX. --verbose: how the sites lie.",
    .run = check_kernel,
};
