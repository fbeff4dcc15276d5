/* SPDX-License-Identifier: MIT */
/*
 * `textpatch list`: every site with all that it may hold.
 */
#include <string.h>

#include "../../lib/site/registry.h"
#include "../../lib/site/site.h"
#include "commands.h"
#include "listing.h"
#include "report.h"

struct options {
    const char *kernel;
    const char *output;
    const struct listing_writer *writer;
};

static struct options read_options(const struct arguments *arguments) {
    struct options options = {.writer = &text_writer};
    for (int i = 0; i < arguments->count; i++) {
        const char *word = arguments->words[i];
        if (strcmp(word, "--json") == 0)
            options.writer = &json_writer;
        else if (strcmp(word, "--html") == 0)
            options.writer = &html_writer;
        else if (strcmp(word, "-o") == 0 && i + 1 < arguments->count)
            options.output = arguments->words[++i];
        else if (word[0] == '-' || options.kernel)
            refuse_usage(&list_command);
        else
            options.kernel = word;
    }
    if (!options.kernel)
        refuse_usage(&list_command);
    return options;
}

/* The innermost site before `at` that holds it. */
static const struct tp_site *find_outer(const struct image *image, uint32_t at, unsigned *depth) {
    const struct tp_site *sites = image->tables.sites, *found = NULL;
    uintptr_t end = tp_site_end(&sites[at]);
    *depth = 0;
    for (uint32_t i = at; i > 0 && (sites[i].detail & TP_DETAIL_NESTED); i--) {
        if (tp_site_end(&sites[i - 1]) < end || tp_site_kind(&sites[i - 1]) != TP_KIND_ALTERNATIVE)
            continue;
        found = found ? found : &sites[i - 1];
        (*depth)++;
    }
    return found;
}

static struct listed_site describe(const struct image *image, uint32_t at) {
    const struct tp_site *site = &image->tables.sites[at];
    struct listed_site out = {.kind = tp_kind_text(tp_site_kind(site))};
    struct source_line line;
    bool outermost = is_outermost(image, at);
    out.forms = outermost ? collect_forms(image, at) : collect_own_forms(image, at);
    out.symbol = name_address(image->kernel, out.forms.address);
    if (find_line(image->kernel, out.forms.address, &line)) {
        out.file = line.file;
        out.line = line.line;
    }
    if (tp_site_has_key(site))
        out.key = tp_key_name(tp_site_key(site));
    if (tp_site_kind(site) == TP_KIND_ALTERNATIVE)
        out.feature = name_feature(site->detail & (TP_DETAIL_FEATURE | TP_DETAIL_NOT));
    const struct tp_site *outer = find_outer(image, at, &out.depth);
    if (outer)
        out.inside = format_text("%s at %s", tp_kind_text(tp_site_kind(outer)),
                                 name_address(image->kernel, tp_site_address(outer) - image->shift));
    else if (at >= image->tables.place_count)
        out.inside = "a replacement";
    return out;
}

static void write_list(const struct image *image, const struct listing_writer *writer, FILE *out) {
    uint32_t count = image->tables.place_count + image->tables.template_count;
    writer->begin(out, image);
    for (uint32_t at = 0; at < count; at++) {
        struct listed_site site = describe(image, at);
        writer->site(out, image, &site, at == 0);
    }
    writer->end(out, image);
}

static void list_sites(void *argument) {
    struct options options = read_options(argument);
    struct image *image = load_image(open_kernel(options.kernel));
    if (!take_records(image))
        return;
    FILE *out = options.output ? fopen(options.output, "w") : stdout;
    if (!out)
        give_up("%s can't be written", options.output);
    write_list(image, options.writer, out);
    if (out != stdout && (ferror(out) | fclose(out)) != 0)
        complain("%s could not be written", options.output);
}

const struct command list_command = {
    .name = "list",
    .usage = "KERNEL.elf [--json|--html] [-o FILE]",
    .help = "Lists every site: where it is, its kind and key, and each form that it may hold, with bytes and\n"
            "instructions (AT&T syntax). Sites that lie in others follow these. As text, as JSON, or as one HTML page\n"
            "with a search.",
    .run = list_sites,
};
