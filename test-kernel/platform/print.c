/* SPDX-License-Identifier: MIT */
/* A small printf. It gathers a line's worth before it calls the console, since
 * under Xen each call is a hypercall. */
#include <stdarg.h>

#include "backend.h"
#include "ports.h"

struct gathered {
	size_t length;
	char text[160];
};

struct conversion {
	bool left, zero, upper;
	int width;
	int precision;      /* -1: none */
	int size;           /* in bytes */
	char letter;
};

/* CPUs take turns, but a fault while printing must still be able to report
 * itself, so nobody waits for ever. */
static bool console_taken;
enum { PATIENCE = 1000000 };

static bool take_console(void)
{
	for (int tries = 0; tries < PATIENCE; tries++) {
		if (!__atomic_test_and_set(&console_taken, __ATOMIC_ACQUIRE))
			return true;
		pause_briefly();
	}
	return false;
}

static void give_console(bool taken)
{
	if (taken)
		__atomic_clear(&console_taken, __ATOMIC_RELEASE);
}

static void flush(struct gathered *out)
{
	backend->write_console(out->text, out->length);
	out->length = 0;
}

static void put(struct gathered *out, char character)
{
	if (out->length == sizeof(out->text))
		flush(out);
	out->text[out->length++] = character;
}

static void put_times(struct gathered *out, char character, int times)
{
	while (times-- > 0)
		put(out, character);
}

static void put_padded(struct gathered *out, const struct conversion *how,
		       const char *text, int length)
{
	if (!how->left)
		put_times(out, ' ', how->width - length);
	for (int i = 0; i < length; i++)
		put(out, text[i]);
	if (how->left)
		put_times(out, ' ', how->width - length);
}

static void put_string(struct gathered *out, const struct conversion *how, const char *text)
{
	int length = 0;

	if (!text)
		text = "(null)";
	while ((how->precision < 0 || length < how->precision) && text[length])
		length++;
	put_padded(out, how, text, length);
}

static void put_number(struct gathered *out, const struct conversion *how,
		       uint64_t value, unsigned base, const char *prefix)
{
	const char *digits = how->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[80];
	int minimum = how->precision >= 0 ? how->precision : 1;
	int prefix_length = prefix[0] == 0 ? 0 : prefix[1] == 0 ? 1 : 2;
	int start = sizeof(text), count = 0;

	if (how->zero && !how->left && how->precision < 0)
		minimum = how->width - prefix_length;
	if (minimum > 64)
		minimum = 64;
	while (value != 0 || count < minimum) {
		text[--start] = digits[value % base];
		value /= base;
		count++;
	}
	while (prefix_length > 0)
		text[--start] = prefix[--prefix_length];
	put_padded(out, how, &text[start], (int)sizeof(text) - start);
}

static int64_t take_signed(va_list *arguments, int size)
{
	if (size == 8)
		return va_arg(*arguments, int64_t);
	int value = va_arg(*arguments, int);
	return size == 1 ? (signed char)value : size == 2 ? (short)value : value;
}

static uint64_t take_unsigned(va_list *arguments, int size)
{
	if (size == 8)
		return va_arg(*arguments, uint64_t);
	unsigned value = va_arg(*arguments, unsigned);
	return size == 1 ? (unsigned char)value : size == 2 ? (unsigned short)value : value;
}

static const char *read_number(const char *format, int *number, va_list *arguments)
{
	if (*format == '*') {
		*number = va_arg(*arguments, int);
		return format + 1;
	}
	*number = 0;
	while (*format >= '0' && *format <= '9')
		*number = *number * 10 + (*format++ - '0');
	return format;
}

/* `format` points behind the '%'; returns what follows the conversion. */
static const char *read_conversion(const char *format, struct conversion *how, va_list *arguments)
{
	*how = (struct conversion){ .precision = -1, .size = 4 };
	for (; *format == '-' || *format == '0'; format++) {
		how->left |= *format == '-';
		how->zero |= *format == '0';
	}
	format = read_number(format, &how->width, arguments);
	if (how->width < 0) {
		how->left = true;
		how->width = -how->width;
	}
	if (*format == '.')
		format = read_number(format + 1, &how->precision, arguments);
	for (; *format == 'h'; format++)
		how->size /= 2;
	for (; *format == 'l' || *format == 'z'; format++)
		how->size = 8;
	how->letter = *format;
	how->upper = *format == 'X';
	return *format ? format + 1 : format;
}

static void put_signed(struct gathered *out, const struct conversion *how, int64_t value)
{
	uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;

	put_number(out, how, magnitude, 10, value < 0 ? "-" : "");
}

static void put_conversion(struct gathered *out, const struct conversion *how, va_list *arguments)
{
	char character;

	switch (how->letter) {
	case 'd':
	case 'i':
		put_signed(out, how, take_signed(arguments, how->size));
		break;
	case 'u':
		put_number(out, how, take_unsigned(arguments, how->size), 10, "");
		break;
	case 'x':
	case 'X':
		put_number(out, how, take_unsigned(arguments, how->size), 16, "");
		break;
	case 'p':
		put_number(out, how, take_unsigned(arguments, 8), 16, "0x");
		break;
	case 's':
		put_string(out, how, va_arg(*arguments, const char *));
		break;
	case 'c':
		character = (char)va_arg(*arguments, int);
		put_padded(out, how, &character, 1);
		break;
	default:
		put(out, '%');
		if (how->letter && how->letter != '%')
			put(out, how->letter);
	}
}

static void put_all(struct gathered *out, const char *format, va_list *arguments)
{
	struct conversion how;

	while (*format) {
		if (*format != '%') {
			put(out, *format++);
			continue;
		}
		format = read_conversion(format + 1, &how, arguments);
		put_conversion(out, &how, arguments);
	}
}

static void print_arguments(const char *format, va_list arguments)
{
	struct gathered out;
	bool taken = take_console();
	va_list copy;    /* its address has the right type whatever va_list is */

	out.length = 0;
	va_copy(copy, arguments);
	put_all(&out, format, &copy);
	va_end(copy);
	flush(&out);
	give_console(taken);
}

void print_format(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_arguments(format, arguments);
	va_end(arguments);
}

void print_text(const char *text, size_t length)
{
	bool taken = take_console();

	backend->write_console(text, length);
	give_console(taken);
}

void panic(const char *format, ...)
{
	va_list arguments;

	print_format("panic: ");
	va_start(arguments, format);
	print_arguments(format, arguments);
	va_end(arguments);
	print_format("\n");
	exit_kernel(1);
}
