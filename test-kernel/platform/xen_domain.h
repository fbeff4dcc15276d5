/* SPDX-License-Identifier: MIT */
/* What dom0 asks of Xen alike, whether it is a PV or a PVH domain. */
#ifndef PLATFORM_XEN_DOMAIN_H
#define PLATFORM_XEN_DOMAIN_H

#include <stddef.h>

void write_xen_console(const char *text, size_t length);
void shut_down_xen_domain(int status);

#endif
