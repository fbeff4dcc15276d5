/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "port.h"

static struct tp_error last;

struct text {
    char *at;
    size_t left; /* without the NUL */
};

TP_COLD static void put(struct text *text, char c) {
    if (text->left == 0)
        return;
    *text->at++ = c;
    text->left--;
}

TP_COLD static void put_string(struct text *text, const char *string) {
    while (*string)
        put(text, *string++);
}

TP_COLD static void put_hex(struct text *text, uint64_t value, unsigned least_digits) {
    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || (unsigned)shift < 4 * least_digits)
            put(text, "0123456789abcdef"[value >> shift & 0xf]);
}

TP_COLD static void put_decimal(struct text *text, int64_t value) {
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        put(text, '-');
    while (count)
        put(text, digits[--count]);
}

TP_COLD static void put_bytes(struct text *text, const char *what, const uint8_t *bytes, unsigned count) {
    put_string(text, what);
    for (unsigned i = 0; i < count; i++) {
        put(text, ' ');
        put_hex(text, bytes[i], 2);
    }
}

/* A long name must not push the bytes out of the message. */
enum { NAME_SHOWN = 56 };

TP_COLD static void put_named(struct text *text, const char *what, const char *name) {
    if (!name)
        return;
    put_string(text, what);
    for (unsigned i = 0; name[i] && i < NAME_SHOWN; i++)
        put(text, name[i]);
}

TP_COLD void tp_format_error(const struct tp_error *error, char *out, size_t size) {
    if (size == 0)
        return;
    struct text text = {out, size - 1};
    put_string(&text, "textpatch: ");
    put_string(&text, tp_status_text(error->status));
    put_named(&text, ", image ", error->image);
    put_named(&text, ", hook ", error->hook);
    put_named(&text, ", key ", error->key);
    if (error->site) {
        put_string(&text, ", site 0x");
        put_hex(&text, error->site, 1);
        put_string(&text, " (");
        put_decimal(&text, error->length);
        put_string(&text, " bytes)");
    }
    if (error->status == TP_ERR_CPU_SILENT) {
        put_string(&text, ", CPU ");
        put_decimal(&text, (int64_t)error->value);
    } else if (error->value) {
        put_string(&text, ", value 0x");
        put_hex(&text, error->value, 1);
    }
    if (error->distance) {
        put_string(&text, ", distance ");
        put_decimal(&text, error->distance);
    }
    if (error->offset) {
        put_string(&text, ", from byte ");
        put_decimal(&text, error->offset);
    }
    if (error->shown) {
        put_bytes(&text, ", found", error->found, error->shown);
        put_bytes(&text, ", expected", error->expected, error->shown);
    }
    *text.at = '\0';
}

/* error->length is set */
TP_COLD void tp_show_bytes(struct tp_error *error, const uint8_t *found, const uint8_t *expected) {
    error->shown = error->length < sizeof error->found ? error->length : (uint8_t)sizeof error->found;
    while (error->offset < error->length - error->shown && found[error->offset] == expected[error->offset])
        error->offset++;
    for (unsigned i = 0; i < error->shown; i++) {
        error->found[i] = found[error->offset + i];
        error->expected[i] = expected[error->offset + i];
    }
}

TP_COLD enum tp_status tp_fail(const struct tp_error *error) {
    char message[TP_MESSAGE_MAX];
    last = *error;
    tp_format_error(&last, message, sizeof message);
    tp_log(message);
    return error->status; /* `last` may be another caller's by now */
}

TP_COLD enum tp_status tp_fail_with(enum tp_status status) {
    return tp_fail(&(struct tp_error){.status = status});
}

TP_COLD void tp_keep_error(const struct tp_error *error) {
    last = *error;
}

void tp_forget_errors(void) {
    last = (struct tp_error){.status = TP_OK};
}

const struct tp_error *tp_last_error(void) {
    return &last;
}
