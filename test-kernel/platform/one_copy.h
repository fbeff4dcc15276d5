/* SPDX-License-Identifier: MIT */
/*
 * For functions that hold sites: they stay one each, whatever the compiler and its options, so that all builds of a
 * kernel count the same sites, and the sites of a function follow its address.
 */
#ifndef ONE_COPY_H
#define ONE_COPY_H

#ifndef __clang__
#define ONE_COPY __attribute__((noinline, noclone, no_icf))
#else
#define ONE_COPY __attribute__((noinline))
#endif

#endif
