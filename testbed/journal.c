#include "testbed/journal.h"

#include "phy/csi.h"
#include "radio/spool.h"
#include "testbed/crc32c.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays of floats go to the file as they lie in memory");

enum {
	RING_BYTES = 8 << 20, /* a few hundred slots of 8 devices; a power of two */
	RECORD_HEAD = 8,
	CSI_HEAD = 56,
	CSI_TAIL = 4,
	CSI_MAX = CSI_HEAD + 4 * PHY_RB_MAX + 8 * PHY_SC_MAX + CSI_TAIL,
	END_BYTES = 16,
	RECORD_MAX = RECORD_HEAD + CSI_MAX + 4,
	SUFFIX_MAX = 1000,
	METADATA_MAX = 16 << 20,
	PAYLOAD_MAX = 1 << 20,
};

static const char magic[8] = "WDMOEJRN";

/* ---- the folder ---- */

/* Makes all folders above the last component of path. */
static int make_parents(const char *path)
{
	char part[JOURNAL_PATH_MAX];
	snprintf(part, sizeof part, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0777) != 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int complain(char *err, size_t err_len, const char *path, int error)
{
	snprintf(err, err_len, "%s: %s", path, strerror(-error));
	return error;
}

static int make_wanted(const char *dir)
{
	char file[JOURNAL_PATH_MAX];
	if ((size_t)snprintf(file, sizeof file, "%s/" JOURNAL_FILE_NAME, dir) >= sizeof file)
		return -ENAMETOOLONG;
	if (mkdir(dir, 0777) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	struct stat st;
	if (stat(dir, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return access(file, F_OK) == 0 ? -EEXIST : access(dir, W_OK | X_OK) == 0 ? 0 : -errno;
}

/* base, base-2, base-3, ...: the first that is not there. */
static int make_fresh(const char *base, char *dir, size_t size)
{
	for (int i = 1; i < SUFFIX_MAX; i++) {
		int n = i == 1 ? snprintf(dir, size, "%s", base) : snprintf(dir, size, "%s-%d", base, i);
		if ((size_t)n >= size)
			return -ENAMETOOLONG;
		if (mkdir(dir, 0777) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int journal_make_dir(const char *wanted, const char *name, char *dir, size_t size, char *err, size_t err_len)
{
	char base[JOURNAL_PATH_MAX];
	if (wanted) {
		snprintf(base, sizeof base, "%s", wanted);
	} else {
		time_t now = time(NULL);
		struct tm utc;
		char stamp[32];
		strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
		snprintf(base, sizeof base, "runs/%s-%s", name, stamp);
	}
	int error = base[0] == '\0' ? -ENOENT : make_parents(base);
	if (error == 0 && wanted) {
		error = (size_t)snprintf(dir, size, "%s", base) < size ? make_wanted(dir) : -ENAMETOOLONG;
		if (error == -EEXIST) {
			snprintf(err, err_len, "%s: holds a journal already, it is never overwritten", base);
			return error;
		}
	} else if (error == 0) {
		error = make_fresh(base, dir, size);
	}
	return error == 0 ? 0 : complain(err, err_len, base, error);
}

/* ---- writing ---- */

struct journal {
	struct spool *spool;
	struct journal_stats stats;
	uint8_t record[RECORD_MAX > JOURNAL_EVENT_MAX + 12 ? RECORD_MAX
	                                                   : JOURNAL_EVENT_MAX + 12]; /* being put together */
};

static void put_u16(uint8_t *p, uint16_t x)
{
	x = htole16(x);
	memcpy(p, &x, sizeof x);
}

static void put_u32(uint8_t *p, uint32_t x)
{
	x = htole32(x);
	memcpy(p, &x, sizeof x);
}

static void put_u64(uint8_t *p, uint64_t x)
{
	x = htole64(x);
	memcpy(p, &x, sizeof x);
}

static uint16_t get_u16(const uint8_t *p)
{
	uint16_t x;
	memcpy(&x, p, sizeof x);
	return le16toh(x);
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t x;
	memcpy(&x, p, sizeof x);
	return le32toh(x);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return le64toh(x);
}

/* Frames the payload that lies in j->record behind RECORD_HEAD, and hands it to the writer. */
static int submit(struct journal *j, enum journal_type type, size_t payload)
{
	put_u32(j->record, (uint32_t)type);
	put_u32(j->record + 4, (uint32_t)payload);
	size_t n = RECORD_HEAD + payload;
	put_u32(j->record + n, crc32c(0, j->record, n));
	n += 4;
	int rc = spool_put(j->spool, j->record, n);
	if (rc == -ENOBUFS) {
		j->stats.dropped++;
		return rc;
	}
	j->stats.records++;
	j->stats.bytes += n;
	return rc;
}

static bool all_finite(const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return false;
	return true;
}

static int refuse(struct journal *j)
{
	j->stats.not_finite++;
	return -EDOM;
}

/* The payload of a CSI record; notes/journal.md has the same table. */
static void encode_csi(uint8_t *p, enum journal_direction direction, unsigned device, const struct csi *csi,
                       const float numbers[6])
{
	put_u64(p, csi->slot);
	put_u64(p + 8, csi->t_slot_samples);
	put_u64(p + 16, csi->t_ref_samples);
	p[24] = (uint8_t)direction;
	p[25] = (uint8_t)device;
	p[26] = csi->valid;
	p[27] = 0;
	put_u16(p + 28, (uint16_t)csi->n_sc);
	put_u16(p + 30, (uint16_t)csi->n_rb);
	memcpy(p + 32, numbers, 24);
	uint8_t *snr = p + CSI_HEAD, *h = snr + 4 * csi->n_rb;
	memcpy(snr, csi->snr_db, 4 * csi->n_rb);
	memcpy(h, csi->h, 8 * csi->n_sc);
	if (!csi->valid)
		memset(snr, 0, 4 * csi->n_rb + 8 * csi->n_sc);
	memcpy(h + 8 * csi->n_sc, &csi->rx_gain_db, CSI_TAIL);
}

int journal_csi(struct journal *j, enum journal_direction direction, unsigned device, const struct csi *csi)
{
	float numbers[6] = { csi->noise_var,      csi->snr_mean_db, csi->cfo_hz,
		             csi->timing_samples, csi->rssi_dbfs,   csi->evm_db };
	if (csi->n_sc > PHY_SC_MAX || csi->n_rb > PHY_RB_MAX || device > UINT8_MAX || !isfinite(csi->rx_gain_db))
		return refuse(j);
	const float *h = (const float *)csi->h;
	if (csi->valid &&
	    !(all_finite(numbers, 6) && all_finite(csi->snr_db, csi->n_rb) && all_finite(h, 2 * csi->n_sc)))
		return refuse(j);
	for (size_t i = 0; i < 6; i++)
		if (!csi->valid && !isfinite(numbers[i]))
			numbers[i] = 0;
	encode_csi(j->record + RECORD_HEAD, direction, device, csi, numbers);
	return submit(j, JOURNAL_CSI, CSI_HEAD + 4 * csi->n_rb + 8 * csi->n_sc + CSI_TAIL);
}

int journal_event(struct journal *j, const char *format, ...)
{
	char *text = (char *)j->record + RECORD_HEAD;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, JOURNAL_EVENT_MAX, format, args);
	va_end(args);
	if (n >= JOURNAL_EVENT_MAX)
		return -EMSGSIZE;
	if (n < 2 || text[0] != '{' || text[n - 1] != '}' || memchr(text, '\n', (size_t)n))
		return -EINVAL;
	return submit(j, JOURNAL_EVENT, (size_t)n);
}

void journal_get_stats(const struct journal *j, struct journal_stats *stats)
{
	*stats = j->stats;
	stats->waits = spool_waits(j->spool);
}

/* magic, version, length, JSON, CRC. */
static int write_header(int fd, const json_t *metadata)
{
	char *text = json_dumps(metadata, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	uint8_t *header = text && n <= METADATA_MAX ? malloc(n + 20) : NULL;
	int error = -ENOMEM;
	if (header) {
		memcpy(header, magic, sizeof magic);
		put_u32(header + 8, JOURNAL_VERSION);
		put_u32(header + 12, (uint32_t)n);
		memcpy(header + 16, text, n);
		put_u32(header + 16 + n, crc32c(0, header, 16 + n));
		error = spool_write(fd, header, n + 20);
	}
	free(header);
	free(text);
	return error;
}

static int open_journal(struct journal *j, const char *path, const json_t *metadata, enum spool_when_full when_full)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	int error = write_header(fd, metadata);
	if (error == 0) {
		j->spool = spool_create(fd, RING_BYTES, when_full);
		error = j->spool ? 0 : -errno;
	}
	if (error != 0) {
		close(fd);
		unlink(path);
	}
	return error;
}

int journal_create(const char *dir, const json_t *metadata, enum journal_when_full when_full, struct journal **out,
                   char *err, size_t err_len)
{
	char path[JOURNAL_PATH_MAX];
	if ((size_t)snprintf(path, sizeof path, "%s/" JOURNAL_FILE_NAME, dir) >= sizeof path)
		return complain(err, err_len, dir, -ENAMETOOLONG);
	struct journal *j = calloc(1, sizeof *j);
	if (!j)
		return complain(err, err_len, path, -ENOMEM);
	int error = open_journal(j, path, metadata, when_full == JOURNAL_DROP ? SPOOL_DROP : SPOOL_WAIT);
	if (error != 0) {
		free(j);
		return complain(err, err_len, path, error);
	}
	*out = j;
	return 0;
}

int journal_close(struct journal *j)
{
	if (!j)
		return 0;
	spool_set_when_full(j->spool, SPOOL_WAIT); /* the end record must not be dropped */
	put_u64(j->record + RECORD_HEAD, j->stats.records);
	put_u64(j->record + RECORD_HEAD + 8, j->stats.dropped);
	submit(j, JOURNAL_END, END_BYTES);
	int error = spool_close(j->spool);
	free(j);
	return error;
}

/* ---- reading ---- */

struct journal_reader {
	FILE *file;
	json_t *metadata;
	uint64_t offset; /* of the next record, or of the damaged one */
	bool damaged;
	uint8_t *buffer; /* one record; grows up to PAYLOAD_MAX */
	size_t capacity;
};

static int read_header(struct journal_reader *r)
{
	uint8_t head[16];
	if (fread(head, 1, sizeof head, r->file) != sizeof head || memcmp(head, magic, sizeof magic) != 0)
		return -EBADMSG;
	uint32_t n = get_u32(head + 12);
	if (get_u32(head + 8) != JOURNAL_VERSION)
		return -EPROTONOSUPPORT;
	uint8_t *text = n <= METADATA_MAX ? malloc(n + 4) : NULL;
	if (!text)
		return -EBADMSG;
	int error = -EBADMSG;
	if (fread(text, 1, n + 4, r->file) == n + 4 &&
	    crc32c(crc32c(0, head, sizeof head), text, n) == get_u32(text + n)) {
		r->metadata = json_loadb((char *)text, n, JSON_REJECT_DUPLICATES, NULL);
		error = json_is_object(r->metadata) ? 0 : -EBADMSG;
	}
	free(text);
	r->offset = sizeof head + n + 4;
	return error;
}

const char *journal_path(const char *arg, char *buffer, size_t size)
{
	struct stat st;
	if (stat(arg, &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(buffer, size, "%s/" JOURNAL_FILE_NAME, arg);
		return buffer;
	}
	return arg;
}

int journal_reader_open(const char *path, struct journal_reader **out, char *err, size_t err_len)
{
	struct journal_reader *r = calloc(1, sizeof *r);
	if (!r)
		return complain(err, err_len, path, -ENOMEM);
	r->file = fopen(path, "rb");
	int error = r->file ? read_header(r) : -errno;
	if (error == 0) {
		*out = r;
		return 0;
	}
	journal_reader_close(r);
	if (error == -EBADMSG)
		snprintf(err, err_len, "%s: not a journal, or its header is damaged", path);
	else if (error == -EPROTONOSUPPORT)
		snprintf(err, err_len, "%s: a journal of another format version than %d", path, JOURNAL_VERSION);
	else
		complain(err, err_len, path, error);
	return error;
}

void journal_reader_close(struct journal_reader *r)
{
	if (!r)
		return;
	if (r->file)
		fclose(r->file);
	json_decref(r->metadata);
	free(r->buffer);
	free(r);
}

const json_t *journal_reader_metadata(const struct journal_reader *r)
{
	return r->metadata;
}

uint64_t journal_reader_offset(const struct journal_reader *r)
{
	return r->offset;
}

static bool reserve(struct journal_reader *r, size_t n)
{
	if (n <= r->capacity)
		return true;
	uint8_t *bigger = realloc(r->buffer, n);
	if (!bigger)
		return false;
	r->buffer = bigger;
	r->capacity = n;
	return true;
}

/* Payload and CRC of the record whose head has been read. */
static int read_payload(struct journal_reader *r, const uint8_t *head, size_t n)
{
	if (n > PAYLOAD_MAX || !reserve(r, n + 4) || fread(r->buffer, 1, n + 4, r->file) != n + 4)
		return -EBADMSG;
	return crc32c(crc32c(0, head, RECORD_HEAD), r->buffer, n) == get_u32(r->buffer + n) ? 0 : -EBADMSG;
}

int journal_reader_next(struct journal_reader *r, struct journal_record *rec)
{
	uint8_t head[RECORD_HEAD];
	if (r->damaged)
		return -EBADMSG;
	size_t got = fread(head, 1, sizeof head, r->file);
	if (ferror(r->file))
		return -EIO;
	if (got == 0)
		return 0;
	size_t n = got == sizeof head ? get_u32(head + 4) : 0;
	if (got != sizeof head || read_payload(r, head, n) != 0) {
		r->damaged = true;
		return ferror(r->file) ? -EIO : -EBADMSG;
	}
	*rec = (struct journal_record){ .type = get_u32(head), .payload = r->buffer, .size = n, .offset = r->offset };
	r->offset += RECORD_HEAD + n + 4;
	return 1;
}

int journal_read_csi(const struct journal_record *rec, struct journal_csi_view *csi)
{
	const uint8_t *p = rec->payload;
	if (rec->type != JOURNAL_CSI || rec->size < CSI_HEAD || p[24] > JOURNAL_UPLINK || p[26] > 1)
		return -EBADMSG;
	float numbers[6];
	memcpy(numbers, p + 32, sizeof numbers);
	*csi = (struct journal_csi_view){
		.slot = get_u64(p),
		.t_slot_samples = get_u64(p + 8),
		.t_ref_samples = get_u64(p + 16),
		.direction = p[24],
		.device = p[25],
		.valid = p[26],
		.n_sc = get_u16(p + 28),
		.n_rb = get_u16(p + 30),
		.noise_var = numbers[0],
		.snr_mean_db = numbers[1],
		.cfo_hz = numbers[2],
		.timing_samples = numbers[3],
		.rssi_dbfs = numbers[4],
		.evm_db = numbers[5],
		.snr_db = (const float *)(const void *)(p + CSI_HEAD),
	};
	csi->h = csi->snr_db + csi->n_rb;
	size_t body = CSI_HEAD + 4 * csi->n_rb + 8 * csi->n_sc;
	if (rec->size == body + CSI_TAIL) /* journals of before end with h */
		memcpy(&csi->rx_gain_db, p + body, CSI_TAIL);
	return rec->size == body || rec->size == body + CSI_TAIL ? 0 : -EBADMSG;
}
