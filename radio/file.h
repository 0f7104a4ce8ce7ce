/* file.h - a radio that plays a recording: what is received comes from SigMF files, what is sent goes nowhere.
 *
 *     struct radio *r = file_radio_create("runs/x/device3", &info, err, sizeof err);
 *     uint64_t t = file_radio_begin(r);                    // first sample that there is; file_radio_end: after the last
 *     while (radio_recv(r, x, 3840, t) == 0)
 *             t += 3840;
 *     radio_destroy(r);
 *
 * Where nothing was recorded, between captures, there is silence. A receive that begins at or after the end gives -ENODATA and zeros.
 * Sends are checked and counted as on any radio. Gains stay what they were; full scale is as the capture says, or the caller.
 */
#ifndef RADIO_FILE_H
#define RADIO_FILE_H

#include "radio/radio.h"

/* info: what the recording does not say (transmitter, its carrier and full scale); rate, receive carrier and full scale are taken from it
 * where the recording has them not. A rate that differs from info->rate_hz (0: any) is refused. NULL with errno and one line in err. */
struct radio *file_radio_create(const char *name, const struct radio_info *info, char *err, size_t err_len);

uint64_t file_radio_begin(const struct radio *r);
uint64_t file_radio_end(const struct radio *r);

#endif
