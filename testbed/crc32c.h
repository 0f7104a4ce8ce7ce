/* crc32c.h - CRC-32C (Castagnoli; RFC 3720 appendix B.4) of messages and journal records.
 *
 *     uint32_t crc = crc32c(0, head, n_head);
 *     crc = crc32c(crc, body, n_body);           // as over both in one piece
 */
#ifndef TESTBED_CRC32C_H
#define TESTBED_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t n);

#endif
