/* SPDX-License-Identifier: MIT */
#include "backend.h"

static char command_line[1024];

void keep_command_line(const char *text)
{
	size_t length = 0;

	while (text && text[length] && length < sizeof(command_line) - 1) {
		command_line[length] = text[length];
		length++;
	}
	command_line[length] = 0;
}

const char *kept_command_line(void)
{
	return command_line;
}

static bool ends_word(char character)
{
	return character == 0 || character == ' ' || character == '\t';
}

/* Steps over the blanks before a word; NULL at the end. */
static const char *next_word(const char *text)
{
	while (*text && ends_word(*text))
		text++;
	return *text ? text : NULL;
}

static const char *end_of_word(const char *text)
{
	while (!ends_word(*text))
		text++;
	return text;
}

/* Returns what follows `prefix`, or NULL. */
static const char *after_prefix(const char *text, const char *prefix)
{
	while (*prefix && *text == *prefix) {
		text++;
		prefix++;
	}
	return *prefix ? NULL : text;
}

bool command_line_has(const char *word)
{
	const char *here = command_line;

	while ((here = next_word(here)) != NULL) {
		const char *rest = after_prefix(here, word);

		if (rest && ends_word(*rest))
			return true;
		here = end_of_word(here);
	}
	return false;
}

static const char *find_value(const char *name)
{
	const char *here = command_line;

	while ((here = next_word(here)) != NULL) {
		const char *rest = after_prefix(here, name);

		if (rest && *rest == '=')
			return rest + 1;
		here = end_of_word(here);
	}
	return NULL;
}

bool command_line_value(const char *name, char *value, size_t size)
{
	const char *found = find_value(name);
	size_t length;

	if (!found)
		return false;
	length = (size_t)(end_of_word(found) - found);
	if (length >= size)
		return false;
	for (size_t i = 0; i < length; i++)
		value[i] = found[i];
	value[length] = 0;
	return true;
}
