/*
 * SMBIOS (DSP0134 3.6) with its 64-bit entry point: types 0 (firmware), 1 (system: the machine's
 * name as serial number, a UUID made from it), 11 (OEM strings, where systemd looks for
 * credentials) and 127 (end). Linux finds the entry point by searching 0xf0000 to 0xfffff.
 */
#include "arch/x86_64/smbios.h"

#include <string.h>

#define ENTRY_POINT_LEN	   24
#define TYPE_FIRMWARE	   0
#define TYPE_SYSTEM	   1
#define TYPE_OEM_STRINGS   11
#define TYPE_END	   127

#define FIRMWARE_LEN	   0x1a
#define SYSTEM_LEN	   0x1b
#define OEM_STRINGS_LEN	   0x05
#define END_LEN		   0x04

#define SYSTEM_UUID	   0x08
#define SYSTEM_WAKE_UP	   0x18
#define WAKE_UP_POWER	   0x06
#define FIRMWARE_FEATURES  0x0a
#define FIRMWARE_UNKNOWN   0x08 /* no list of features */
#define FIRMWARE_EXTENSION 0x12
#define EXTENSION_VIRTUAL  0x10 /* second byte: a virtual machine */

struct smbios {
	uint8_t *buf;
	size_t len;
	size_t used;
	uint16_t handle;
	uint8_t string_count; /* of the structure being written */
};

/* Starts a structure; NULL when it does not fit. */
static uint8_t *smbios_start(struct smbios *s, uint8_t type, uint8_t len)
{
	uint8_t *at = s->buf + s->used;

	if (len > s->len - s->used)
		return NULL;
	memset(at, 0, len);
	at[0] = type;
	at[1] = len;
	at[2] = (uint8_t)s->handle;
	at[3] = (uint8_t)(s->handle >> 8);
	s->used += len;
	s->handle++;
	s->string_count = 0;
	return at;
}

/* Appends a string; *NUMBER is how fields refer to it, 0 for none. */
static int smbios_string(struct smbios *s, const char *text, uint8_t *number)
{
	size_t len = text ? strlen(text) : 0;

	*number = 0;
	if (!len)
		return 0;
	if (s->string_count == UINT8_MAX || len >= s->len - s->used)
		return -ENOSPC;
	memcpy(s->buf + s->used, text, len + 1);
	s->used += len + 1;
	*number = ++s->string_count;
	return 0;
}

/* Ends the strings of a structure: a zero, two when there are none. */
static int smbios_end(struct smbios *s)
{
	size_t len = s->string_count ? 1 : 2;

	if (len > s->len - s->used)
		return -ENOSPC;
	memset(s->buf + s->used, 0, len);
	s->used += len;
	return 0;
}

static int smbios_add_firmware(struct smbios *s)
{
	uint8_t *at = smbios_start(s, TYPE_FIRMWARE, FIRMWARE_LEN);

	if (!at)
		return -ENOSPC;
	at[FIRMWARE_FEATURES] = FIRMWARE_UNKNOWN;
	at[FIRMWARE_EXTENSION + 1] = EXTENSION_VIRTUAL;
	at[0x14] = at[0x15] = at[0x16] = at[0x17] = 0xff; /* no firmware releases */
	if (smbios_string(s, "vmm", &at[4]) || smbios_string(s, "1", &at[5]))
		return -ENOSPC;
	return smbios_end(s);
}

/* FNV-1a over the name, with one of two starting points. */
static uint64_t smbios_hash(const char *name, uint64_t hash)
{
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ULL;
	/* Short names differ in few bits: spread them. */
	hash ^= hash >> 32;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

void smbios_uuid(const char *name, uint8_t uuid[16])
{
	uint64_t halves[2];

	memset(uuid, 0, 16);
	if (!name || !*name) /* zeros say "not present" */
		return;
	halves[0] = smbios_hash(name, 0xcbf29ce484222325ULL);
	halves[1] = smbios_hash(name, halves[0] ^ 0x84222325cbf29ce4ULL);
	memcpy(uuid, halves, 16);
	/* Version 8 (RFC 9562: made in a way of our own). The first three fields are little-endian
	 * in SMBIOS: the version's half-byte is in byte 7. */
	uuid[7] = (uint8_t)((uuid[7] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static int smbios_add_system(struct smbios *s, const char *name)
{
	uint8_t *at = smbios_start(s, TYPE_SYSTEM, SYSTEM_LEN);

	if (!at)
		return -ENOSPC;
	smbios_uuid(name, at + SYSTEM_UUID);
	at[SYSTEM_WAKE_UP] = WAKE_UP_POWER;
	if (smbios_string(s, "vmm", &at[4]) || smbios_string(s, "vmm", &at[5]) ||
	    smbios_string(s, name, &at[7]))
		return -ENOSPC;
	return smbios_end(s);
}

static int smbios_add_oem_strings(struct smbios *s, const struct arch_board *board)
{
	uint8_t *at = smbios_start(s, TYPE_OEM_STRINGS, OEM_STRINGS_LEN);
	uint8_t number;

	if (!at || board->oem_string_count > SMBIOS_OEM_STRINGS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < board->oem_string_count; i++)
		if (smbios_string(s, board->oem_strings[i], &number))
			return -ENOSPC;
	at[4] = s->string_count;
	return smbios_end(s);
}

static int smbios_add_end(struct smbios *s)
{
	return smbios_start(s, TYPE_END, END_LEN) ? smbios_end(s) : -ENOSPC;
}

/* Entry point, DSP0134 5.2.2. */
static void smbios_write_entry_point(uint8_t *at, gpa_t tables_gpa, size_t tables_len)
{
	const uint8_t head[] = { '_', 'S', 'M', '3', '_', 0, ENTRY_POINT_LEN, 3, 6, 0, 1, 0 };
	uint8_t sum = 0;

	memset(at, 0, ENTRY_POINT_LEN);
	memcpy(at, head, sizeof(head));
	for (unsigned i = 0; i < 4; i++)
		at[12 + i] = (uint8_t)(tables_len >> 8 * i);
	for (unsigned i = 0; i < 8; i++)
		at[16 + i] = (uint8_t)(tables_gpa >> 8 * i);
	for (unsigned i = 0; i < ENTRY_POINT_LEN; i++)
		sum = (uint8_t)(sum + at[i]);
	at[5] = (uint8_t)-sum;
}

int smbios_build(uint8_t *buf, size_t buf_len, gpa_t gpa, const struct arch_board *board,
		 size_t *len)
{
	const size_t start = (ENTRY_POINT_LEN + 15) & ~15u;
	struct smbios s = { .buf = buf, .len = buf_len, .used = start };
	int ret;

	if (buf_len < start)
		return -ENOSPC;
	ret = smbios_add_firmware(&s);
	if (!ret)
		ret = smbios_add_system(&s, board->name);
	if (!ret && board->oem_string_count)
		ret = smbios_add_oem_strings(&s, board);
	if (!ret)
		ret = smbios_add_end(&s);
	if (ret)
		return ret;
	smbios_write_entry_point(buf, gpa + start, s.used - start);
	*len = s.used;
	return 0;
}
