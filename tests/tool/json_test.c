/* SPDX-License-Identifier: MIT */
/*
 * What `textpatch list --json` writes is JSON (RFC 8259), and says of each site what it must.
 *
 *   output    of a kernel, parsed by a reader that takes nothing else; each site has its members, each form as many
 *             bytes as its site
 *   targets   a direct call names its target, where that is known, and nothing in its place where it isn't
 *   control   the reader refuses texts that are nearly JSON
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *at, *end;
static const char *kernel, *tool;
static unsigned site_count, form_count, bytes_of_site;
static unsigned known_targets, unknown_targets, unknown_instructions, dependent_names;
static struct {
    bool is_direct, has_target, has_gap;
    char target[256];
} form;

static bool read_value(unsigned depth);

static void skip_blanks(void) {
    while (at < end && strchr(" \t\r\n", *at) && *at)
        at++;
}

static bool take(char wanted) {
    skip_blanks();
    if (at == end || *at != wanted)
        return false;
    at++;
    return true;
}

static bool read_escape(void) {
    if (at == end || !strchr("\"\\/bfnrtu", *at) || !*at)
        return false;
    if (*at++ != 'u')
        return true;
    for (unsigned i = 0; i < 4; i++, at++)
        if (at == end || !strchr("0123456789abcdefABCDEF", *at) || !*at)
            return false;
    return true;
}

/* Its first characters, as they stand, in text. */
static bool read_string(char *text, size_t size) {
    size_t used = 0;
    if (!take('"'))
        return false;
    while (at < end && *at != '"') {
        if ((unsigned char)*at < 0x20)
            return false;
        if (used + 1 < size)
            text[used++] = *at;
        if (*at++ == '\\' && !read_escape())
            return false;
    }
    text[used] = '\0';
    return take('"');
}

static bool read_number(void) {
    const char *start = at;
    if (at < end && *at == '-')
        at++;
    const char *digits = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    bool leading_zero = digits < at && *digits == '0' && at - digits > 1;
    return at > start && at > digits && !leading_zero;
}

static bool read_word(const char *word) {
    size_t length = strlen(word);
    if ((size_t)(end - at) < length || memcmp(at, word, length) != 0)
        return false;
    at += length;
    return true;
}

static bool holds(const char *value_start, const char *text) {
    return memmem(value_start, (size_t)(at - value_start), text, strlen(text)) != NULL;
}

/* Members come in this order. */
static void note_target(const char *name, const char *value_start) {
    size_t length = (size_t)(at - value_start);
    if (strcmp(name, "kind") == 0)
        form.is_direct = holds(value_start, "\"direct\"");
    if (strcmp(name, "name") == 0) { /* of long sites NOPs alone depend on who made the CPU */
        bool depends = holds(value_start, "VENDOR_AMD");
        assert_false(depends && form.is_direct);
        dependent_names += depends;
    }
    if (strcmp(name, "target") == 0) {
        form.has_target = !holds(value_start, "null");
        assert_true(form.is_direct || !form.has_target);
        assert_true(length < sizeof form.target);
        snprintf(form.target, sizeof form.target, "%.*s", form.has_target ? (int)length - 2 : 0, value_start + 1);
        known_targets += form.has_target;
    }
    if (strcmp(name, "bytes") == 0) {
        form.has_gap = holds(value_start, "?? ?? ?? ??");
        assert_true(form.has_gap || !holds(value_start, "?"));
        assert_false(form.has_gap && form.has_target);
        assert_true(!form.is_direct || form.has_gap || form.has_target);
        unknown_targets += form.has_gap;
    }
    if (strcmp(name, "text") == 0) {
        bool says_so = holds(value_start, "(target not known)");
        unknown_instructions += says_so;
        assert_true(form.has_gap || !says_so);
        assert_true(!form.has_target || holds(value_start, form.target));
        assert_false(holds(value_start, "text_start"));
    }
}

static void note_member(const char *name, const char *value_start) {
    note_target(name, value_start);
    if (strcmp(name, "address") == 0)
        site_count++;
    if (strcmp(name, "length") == 0)
        bytes_of_site = (unsigned)strtoul(value_start, NULL, 10);
    if (strcmp(name, "bytes") == 0) {
        form_count++;
        assert_int_equal(at - value_start, 2 + 3 * (int)bytes_of_site - 1);
    }
}

static bool read_object(unsigned depth) {
    char name[64];
    if (take('}'))
        return true;
    do {
        skip_blanks();
        if (!read_string(name, sizeof name) || !take(':'))
            return false;
        skip_blanks();
        const char *start = at;
        if (!read_value(depth + 1))
            return false;
        note_member(name, start);
    } while (take(','));
    return take('}');
}

static bool read_array(unsigned depth) {
    if (take(']'))
        return true;
    do {
        if (!read_value(depth + 1))
            return false;
    } while (take(','));
    return take(']');
}

static bool read_value(unsigned depth) {
    char text[8];
    skip_blanks();
    if (at == end || depth > 32)
        return false;
    if (*at == '{' || *at == '[') {
        char first = *at++;
        return first == '{' ? read_object(depth) : read_array(depth);
    }
    if (*at == '"')
        return read_string(text, sizeof text);
    if (*at == 't' || *at == 'f' || *at == 'n')
        return read_word("true") || read_word("false") || read_word("null");
    return read_number();
}

static bool is_json(const char *text, size_t length) {
    at = text;
    end = text + length;
    if (!read_value(0))
        return false;
    skip_blanks();
    return at == end;
}

static void test_output(void **state) {
    static char text[1 << 25];
    char command[4096];
    (void)state;
    snprintf(command, sizeof command, "'%s' list --json '%s'", tool, kernel);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t length = fread(text, 1, sizeof text, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_true(length > 0 && length < sizeof text);
    if (!is_json(text, length))
        fail_msg("no JSON at offset %zu: %.80s", (size_t)(at - text), at);
    print_message("%u sites, %u forms\n", site_count, form_count);
    assert_true(site_count > 100 && form_count > 2 * site_count);
    print_message("%u direct calls and jumps of a known function, %u of any\n", known_targets, unknown_targets);
    assert_true(known_targets > 10 && unknown_targets > 10);
    assert_int_equal(unknown_instructions, unknown_targets);
    assert_true(dependent_names > 0);
}

static void test_control(void **state) {
    static const char *const wrong[] = {"",       "{",        "[1,]",      "{\"a\":1,}", "{\"a\" 1}", "[01]",      "[1 2]",
                                        "\"\\x\"", "\"\\u12\"", "[\"a\nb\"]", "{a:1}",     "nul",       "[1]]",      "[-]"};
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (is_json(wrong[i], strlen(wrong[i])))
            fail_msg("%s was taken for JSON", wrong[i]);
    const char *right = " {\"a\": [1, -2, \"\\u00e9\\n\", null, true, {}], \"b\": []} ";
    assert_true(is_json(right, strlen(right)));
}

int main(int count, char **words) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_output), cmocka_unit_test(test_control)};
    if (count != 3)
        return 2;
    tool = words[1];
    kernel = words[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
