/* SPDX-License-Identifier: MIT */
/* COM1, polled: a 16550 at 115200 8N1 (National PC16550D data sheet, 8.0). */
#include "native.h"
#include "ports.h"

enum {
	COM1 = 0x3f8,
	COM1_INTERRUPT_ENABLE = COM1 + 1,
	COM1_FIFO_CONTROL = COM1 + 2,
	COM1_LINE_CONTROL = COM1 + 3,
	COM1_MODEM_CONTROL = COM1 + 4,
	COM1_LINE_STATUS = COM1 + 5,
	DIVISOR_LATCH = 0x80,
	EIGHT_BITS = 0x03,
	TRANSMITTER_EMPTY = 0x20,
	ALL_SENT = 0x40,
};

void set_up_serial(void)
{
	write_port8(COM1_INTERRUPT_ENABLE, 0);
	write_port8(COM1_LINE_CONTROL, DIVISOR_LATCH | EIGHT_BITS);
	write_port8(COM1, 1);
	write_port8(COM1_INTERRUPT_ENABLE, 0);
	write_port8(COM1_LINE_CONTROL, EIGHT_BITS);
	write_port8(COM1_FIFO_CONTROL, 0x07);
	write_port8(COM1_MODEM_CONTROL, 0x03);
}

void write_serial(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		while (!(read_port8(COM1_LINE_STATUS) & TRANSMITTER_EMPTY))
			pause_briefly();
		write_port8(COM1, (uint8_t)text[i]);
	}
}

void finish_serial(void)
{
	while (!(read_port8(COM1_LINE_STATUS) & ALL_SENT))
		pause_briefly();
}
