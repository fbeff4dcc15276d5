/* SPDX-License-Identifier: MIT */
/*
 * The four functions that compilers call on their own. String instructions keep
 * the compiler from turning a loop in here into a call to itself; `used` keeps
 * link-time optimisation from dropping them before it emits such calls.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *first, const void *second, size_t length);

__attribute__((used))
void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
	return start;
}

__attribute__((used))
void *memmove(void *to, const void *from, size_t length)
{
	uint8_t *last_to = (uint8_t *)to + length - 1;
	const uint8_t *last_from = (const uint8_t *)from + length - 1;

	if ((uintptr_t)to - (uintptr_t)from >= length)
		return memcpy(to, from, length);
	__asm__ volatile("std; rep movsb; cld"
			 : "+D"(last_to), "+S"(last_from), "+c"(length) : : "memory", "cc");
	return to;
}

__attribute__((used))
void *memset(void *to, int value, size_t length)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(value) : "memory");
	return start;
}

__attribute__((used))
int memcmp(const void *first, const void *second, size_t length)
{
	const uint8_t *left = first, *right = second;

	for (size_t i = 0; i < length; i++)
		if (left[i] != right[i])
			return left[i] - right[i];
	return 0;
}
