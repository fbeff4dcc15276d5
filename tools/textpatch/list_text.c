/* SPDX-License-Identifier: MIT */
#include "listing.h"

static void begin(FILE *out, const struct image *image) {
    (void)out;
    (void)image;
}

static void write_site(FILE *out, const struct image *image, const struct listed_site *site, bool first) {
    const struct site_forms *forms = &site->forms;
    fprintf(out, "%s%016lx %s", first ? "" : "\n", (unsigned long)forms->address, site->symbol);
    if (site->file)
        fprintf(out, " (%s:%u)", site->file, site->line);
    fprintf(out, "\n  %s, %u bytes", site->kind, forms->length);
    if (site->key)
        fprintf(out, ", key %s", site->key);
    if (site->feature)
        fprintf(out, ", replaced if %s", site->feature);
    if (site->inside)
        fprintf(out, ", in %s", site->inside);
    fprintf(out, "\n");
    for (uint32_t i = 0; i < forms->count; i++) {
        const struct form *form = &forms->forms[i];
        fprintf(out, "    %-34s %-*s  %s\n", form->name, forms->length > 8 ? 45 : 24, form_bytes(forms, form),
                form_instructions(image->kernel, forms, form));
    }
}

static void end(FILE *out, const struct image *image) {
    fprintf(out, "%s%u sites, %u more in replacements, %u keys, %u inline forms\n", image->tables.place_count ? "\n" : "",
            image->tables.place_count, image->tables.template_count, image->tables.key_count,
            image->tables.inline_count);
}

const struct listing_writer text_writer = {begin, write_site, end};
