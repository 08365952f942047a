/*
 * libelf, as far as it is used here.
 */
#include <gelf.h>
#include <libelf.h>

#include "vmm/late/late.h"

static struct late_library elf = { .soname = "libelf.so.1", .package = "libelf1" };

void late_elf_open(void)
{
	late_open(&elf);
}

LATE(elf, unsigned, elf_version, (unsigned version), (version))
LATE(elf, Elf *, elf_memory, (char *image, size_t size), (image, size))
LATE(elf, int, elf_end, (Elf * file), (file))
LATE(elf, Elf_Kind, elf_kind, (Elf * file), (file))
LATE(elf, int, elf_getphdrnum, (Elf * file, size_t *count), (file, count))
LATE(elf, Elf_Data *, elf_getdata_rawchunk, (Elf * file, int64_t at, size_t size, Elf_Type type),
     (file, at, size, type))
LATE(elf, int, gelf_getclass, (Elf * file), (file))
LATE(elf, GElf_Ehdr *, gelf_getehdr, (Elf * file, GElf_Ehdr *header), (file, header))
LATE(elf, GElf_Phdr *, gelf_getphdr, (Elf * file, int index, GElf_Phdr *header),
     (file, index, header))
LATE(elf, size_t, gelf_getnote,
     (Elf_Data * data, size_t at, GElf_Nhdr *note, size_t *name_at, size_t *desc_at),
     (data, at, note, name_at, desc_at))
