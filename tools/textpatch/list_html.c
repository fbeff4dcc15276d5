/* SPDX-License-Identifier: MIT */
/*
 * One page, without anything from elsewhere: a search over all that is shown, and a filter by kind.
 */
#include "listing.h"

static void write_text(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '>')
            fputs("&gt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '"')
            fputs("&quot;", out);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, out);
    }
}

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Sites</title>\n<style>\n"
    ":root { color-scheme: light dark; --line: #8884; --quiet: light-dark(#666, #999); --mark: light-dark(#05a, #7bf); }\n"
    "body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 88rem; padding: 1rem; }\n"
    "header { position: sticky; top: 0; background: Canvas; padding: .5rem 0; border-bottom: 1px solid var(--line); }\n"
    "h1 { font-size: 1.1rem; margin: 0 0 .5rem; word-break: break-all; }\n"
    "input, select { font: inherit; padding: .25rem .5rem; }\n#search { width: 24rem; max-width: 60%; }\n"
    "details { border-bottom: 1px solid var(--line); padding: .35rem 0; }\n"
    "details.nested { margin-left: 2rem; }\nsummary { cursor: pointer; }\n"
    "code, td { font: 13px/1.4 ui-monospace, monospace; }\n"
    ".columns { display: inline-grid; grid-template-columns: 6rem 5fr 4fr 13rem 7fr; column-gap: 1rem; "
    "width: calc(100% - 2rem); vertical-align: top; align-items: baseline; overflow-wrap: anywhere; }\n"
    "@media (max-width: 60rem) { .columns { display: inline; } }\n"
    ".kind { color: var(--mark); }\n.place { color: var(--quiet); }\n"
    "table { border-collapse: collapse; margin: .35rem 0 .35rem 1.5rem; display: block; overflow-x: auto; }\n"
    "td { padding: .1rem 1rem .1rem 0; vertical-align: top; white-space: nowrap; }\n"
    "</style></head><body>\n<header><h1>";

static const char controls[] =
    "</h1>\n<input id=\"search\" type=\"search\" placeholder=\"symbol, file, key, instruction, bytes\" "
    "aria-label=\"search\" autofocus>\n<select id=\"kind\" aria-label=\"kind\"><option value=\"\">all kinds</option>";

static const char script[] =
    "</main>\n<script>\n"
    "const search = document.getElementById('search'), kind = document.getElementById('kind');\n"
    "const count = document.getElementById('count'), sites = [...document.querySelectorAll('details')];\n"
    "const texts = sites.map(site => site.textContent.toLowerCase());\n"
    "function show() {\n"
    "  const words = search.value.toLowerCase().split(/\\s+/).filter(word => word);\n"
    "  let shown = 0;\n"
    "  sites.forEach((site, n) => {\n"
    "    const fits = (!kind.value || site.dataset.kind === kind.value) && words.every(word => texts[n].includes(word));\n"
    "    site.hidden = !fits;\n"
    "    shown += fits;\n"
    "  });\n"
    "  count.textContent = `${shown} of ${sites.length} sites`;\n"
    "}\n"
    "for (const option of kind.options)\n"
    "  option.disabled = option.value && !sites.some(site => site.dataset.kind === option.value);\n"
    "search.addEventListener('input', show);\nkind.addEventListener('change', show);\nshow();\n"
    "</script>\n</body></html>\n";

static void begin(FILE *out, const struct image *image) {
    fputs(head, out);
    write_text(out, image->kernel->name);
    fputs(controls, out);
    for (unsigned kind = TP_KIND_ALTERNATIVE; kind <= TP_KIND_LOCK_PREFIX; kind++)
        fprintf(out, "<option>%s</option>", tp_kind_text(kind));
    fputs("</select>\n<span id=\"count\"></span></header>\n<main>\n", out);
}

static void write_forms(FILE *out, const struct image *image, const struct site_forms *forms) {
    fputs("<table>", out);
    for (uint32_t i = 0; i < forms->count; i++) {
        const struct form *form = &forms->forms[i];
        fputs("<tr><td>", out);
        write_text(out, form->name);
        fprintf(out, "</td><td>%s</td><td>", form_bytes(forms, form));
        write_text(out, form_instructions(image->kernel, forms, form));
        fputs("</td></tr>\n", out);
    }
    fputs("</table>", out);
}

static void write_named(FILE *out, const char *before, const char *text) {
    if (!text)
        return;
    fputs(before, out);
    write_text(out, text);
}

/* Empty ones too: those behind them are to stay in their columns. */
static void write_columns(FILE *out, const struct listed_site *site) {
    fprintf(out, "<span class=\"columns\"><span class=\"kind\">%s</span> <code class=\"symbol\">", site->kind);
    write_text(out, site->symbol);
    fputs("</code> <code class=\"key\">", out);
    write_named(out, "", site->key);
    write_named(out, site->key ? " if " : "if ", site->feature);
    write_named(out, site->key || site->feature ? ", in " : "in ", site->inside);
    fprintf(out, "</code> <code class=\"place\">%016lx, %u bytes</code> <code class=\"place\">",
            (unsigned long)site->forms.address, site->forms.length);
    write_named(out, "", site->file);
    if (site->file)
        fprintf(out, ":%u", site->line);
    fputs("</code></span>", out);
}

static void write_site(FILE *out, const struct image *image, const struct listed_site *site, bool first) {
    (void)first;
    fprintf(out, "<details data-kind=\"%s\"%s><summary>", site->kind, site->inside ? " class=\"nested\"" : "");
    write_columns(out, site);
    fputs("</summary>\n", out);
    write_forms(out, image, &site->forms);
    fputs("</details>\n", out);
}

static void end(FILE *out, const struct image *image) {
    (void)image;
    fputs(script, out);
}

const struct listing_writer html_writer = {begin, write_site, end};
