/* SPDX-License-Identifier: MIT */
#include "listing.h"

/* Names and files may hold any bytes: those that are no UTF-8 become U+FFFD. */
static unsigned utf8_length(const unsigned char *at) {
    unsigned length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3
                      : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
    for (unsigned i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] >= 0xa0, beyond = at[0] == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

static void write_string(FILE *out, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', out);
    while (*at) {
        unsigned length = utf8_length(at);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (*at < 0x20 || *at == '"' || *at == '\\' || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, length, out);
        at += length ? length : 1;
    }
    fputc('"', out);
}

static void write_member(FILE *out, const char *name, const char *text) {
    fprintf(out, ", \"%s\": ", name);
    if (text)
        write_string(out, text);
    else
        fputs("null", out);
}

static void write_instructions(FILE *out, const struct image *image, const struct site_forms *forms,
                               const struct form *form) {
    unsigned used;
    fputs(", \"instructions\": [", out);
    for (unsigned at = 0; at < forms->length; at += used) {
        fputs(at ? ", " : "", out);
        fprintf(out, "{\"offset\": %u, \"text\": ", at);
        write_string(out, form_instruction(image->kernel, forms, form, at, &used));
        fputc('}', out);
    }
    fputc(']', out);
}

static void begin(FILE *out, const struct image *image) {
    fputs("{\"kernel\": ", out);
    write_string(out, image->kernel->name);
    fputs(",\n \"sites\": [", out);
}

static void write_site(FILE *out, const struct image *image, const struct listed_site *site, bool first) {
    const struct site_forms *forms = &site->forms;
    fprintf(out, "%s\n  {\"address\": \"0x%lx\", \"length\": %u", first ? "" : ",", (unsigned long)forms->address,
            forms->length);
    write_member(out, "kind", site->kind);
    write_member(out, "symbol", site->symbol);
    write_member(out, "file", site->file);
    fprintf(out, ", \"line\": %u", site->line);
    write_member(out, "key", site->key);
    write_member(out, "feature", site->feature);
    write_member(out, "inside", site->inside);
    fputs(", \"forms\": [", out);
    for (uint32_t i = 0; i < forms->count; i++) {
        const struct form *form = &forms->forms[i];
        fprintf(out, "%s\n    {\"kind\": \"%s\"", i ? "," : "", tp_form_text(form->kind));
        write_member(out, "name", form->name);
        write_member(out, "target", form->target && !form->has_stand_in ? name_address(image->kernel, form->target) : NULL);
        write_member(out, "bytes", form_bytes(forms, form));
        write_instructions(out, image, forms, form);
        fputc('}', out);
    }
    fputs("]}", out);
}

static void end(FILE *out, const struct image *image) {
    (void)image;
    fputs("\n ]}\n", out);
}

const struct listing_writer json_writer = {begin, write_site, end};
