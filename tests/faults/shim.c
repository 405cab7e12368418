/* Between the server and the system, by LD_PRELOAD: records what is written and synced, makes writes
 * and syncs fail or take long, and lets the clock jump. No package has to be installed for it, and no
 * privilege is needed.
 *
 * FAULTS_FOLDER   the folder whose files it is about (without -shm, which is never synced, and .lock)
 * FAULTS_CONTROL  a file of 64-bit integers, shared with the driver: see `shim.rs`
 * FAULTS_LOG      where to record; unset: nothing is recorded
 *
 * System calls are made directly, so that nothing has to be looked up at the start. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The same order as in `shim.rs`. */
struct control {
    volatile int64_t clock_offset_us, sync_delay_us;
    int64_t sync_fails_at, write_fails_at; /* counts down; the call that reaches 0 fails */
    int64_t error, for_ever;
    int64_t failures; /* what has happened */
};

struct record {
    uint32_t kind, length;
    uint64_t inode;
    int64_t offset;
};

enum { MAX_FD = 1 << 16, MAX_ANSWER = 1 << 16, SLICE_US = 5000 };
enum { OTHER = 0, FILE_OF_OURS = 1, FOLDER = 2 };

static struct control none, *control = &none;
static char folder[PATH_MAX];
static size_t folder_length;
static int log_fd = -1;
static struct { char kind, is_database; uint64_t inode; } known[MAX_FD];

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_CONTROL"), *log = getenv("FAULTS_LOG");
    const char *watched = getenv("FAULTS_FOLDER");
    if (!path || !watched || strlen(watched) >= sizeof folder) return;
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) abort();
    void *shared = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) abort();
    syscall(SYS_close, fd);
    if (log) {
        log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
        if (log_fd < 0) abort();
    }
    control = shared;
    folder_length = strlen(strcpy(folder, watched));
}

/* One write for each record, appended: records of several threads are whole and in order. */
static void record(char kind, uint64_t inode, int64_t offset, const void *data, size_t length) {
    if (log_fd < 0) return;
    int before = errno;
    struct record head = {kind, length, inode, offset};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, length}};
    if (syscall(SYS_writev, log_fd, parts, 2) != (long)(sizeof head + length)) abort();
    errno = before;
}

static int is_watched(const char *path) {
    if (!folder_length || strncmp(path, folder, folder_length)) return OTHER;
    const char *name = path + folder_length;
    if (!*name) return FOLDER;
    if (*name != '/') return OTHER;
    const char *end = strrchr(name, 0);
    if (end - name > 4 && (!strcmp(end - 4, "-shm") || !strcmp(end - 4, ".ctl"))) return OTHER;
    if (end - name > 5 && !strcmp(end - 5, ".lock")) return OTHER;
    return FILE_OF_OURS;
}

/* SQLite's own files: what fails and what takes long is about them. */
static int is_database(const char *path) {
    static const char *const ends[] = {".db", "-wal", "-journal"};
    size_t length = strlen(path);
    for (int i = 0; i < 3; i++) {
        size_t end = strlen(ends[i]);
        if (length > end && !strcmp(path + length - end, ends[i])) return 1;
    }
    return 0;
}

static int kind_of(int fd) {
    return fd >= 0 && fd < MAX_FD ? known[fd].kind : OTHER;
}

static int breaks(int fd) {
    return kind_of(fd) == FILE_OF_OURS && known[fd].is_database;
}

/* Whether this call is the one that is to fail. */
static int strikes(int64_t *fails_at) {
    if (__atomic_load_n(fails_at, __ATOMIC_SEQ_CST) <= 0) return 0;
    if (__atomic_sub_fetch(fails_at, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    if (control->for_ever) __atomic_store_n(fails_at, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&control->failures, 1, __ATOMIC_SEQ_CST);
    errno = control->error;
    return 1;
}

static int opened(const char *path, int flags, int fd) {
    int kind = fd >= 0 && fd < MAX_FD ? is_watched(path) : OTHER;
    if (fd >= 0 && fd < MAX_FD) known[fd].kind = kind;
    if (kind == FILE_OF_OURS) {
        struct stat found;
        int before = errno;
        if (fstat(fd, &found) == 0) known[fd].inode = found.st_ino;
        errno = before;
        known[fd].is_database = is_database(path);
        record('o', known[fd].inode, (flags & O_TRUNC) != 0, path, strlen(path));
    }
    return fd;
}

static int open_at(int at, const char *path, int flags, int mode) {
    return opened(path, flags, syscall(SYS_openat, at, path, flags, mode));
}

#define MODE(flags)                                \
    int mode = 0;                                  \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {       \
        va_list more;                              \
        va_start(more, flags);                     \
        mode = va_arg(more, int);                  \
        va_end(more);                              \
    }
int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return open_at(at, path, flags, mode); }

int close(int fd) {
    if (fd >= 0 && fd < MAX_FD) known[fd].kind = OTHER;
    return syscall(SYS_close, fd);
}

static ssize_t write_at(int fd, const void *data, size_t length, off_t offset) {
    if (breaks(fd) && strikes(&control->write_fails_at)) return -1;
    ssize_t written = syscall(SYS_pwrite64, fd, data, length, offset);
    if (written > 0 && kind_of(fd) == FILE_OF_OURS)
        record('w', known[fd].inode, offset, data, written);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return write_at(fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    return write_at(fd, data, length, offset);
}

/* The beginning of an answer in the 200s is recorded before it is on its way: what it acknowledges
 * must be on disk by then. */
static void answering(const void *data, size_t length) {
    if (log_fd >= 0 && length > 12 && !memcmp(data, "HTTP/1.1 200", 12))
        record('a', 0, 0, data, length < MAX_ANSWER ? length : MAX_ANSWER);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
    answering(data, length);
    return syscall(SYS_sendto, fd, data, length, flags, NULL, 0);
}

ssize_t write(int fd, const void *data, size_t length) {
    answering(data, length);
    ssize_t written = syscall(SYS_write, fd, data, length);
    if (written > 0 && kind_of(fd) == FILE_OF_OURS) {
        int64_t end = syscall(SYS_lseek, fd, 0, SEEK_CUR);
        record('w', known[fd].inode, end - written, data, written);
    }
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0) answering(parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

static int sync_file(long call, int fd) {
    int kind = kind_of(fd);
    if (kind == OTHER) return syscall(call, fd);
    uint64_t inode = known[fd].inode;
    if (kind == FILE_OF_OURS) record('s', inode, 0, NULL, 0);
    /* In slices: a shorter delay, set meanwhile, ends a longer one. */
    const struct timespec slice = {0, SLICE_US * 1000};
    for (int64_t slept = 0; breaks(fd) && slept < control->sync_delay_us; slept += SLICE_US)
        nanosleep(&slice, NULL);
    if (breaks(fd) && strikes(&control->sync_fails_at)) return -1;
    int result = syscall(call, fd);
    if (result == 0 && kind == FOLDER) record('d', 0, 0, NULL, 0);
    if (result == 0 && kind == FILE_OF_OURS) record('e', inode, 0, NULL, 0);
    return result;
}

int fsync(int fd) { return sync_file(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_file(SYS_fdatasync, fd); }

static int cut_to(int fd, off_t size) {
    int result = syscall(SYS_ftruncate, fd, size);
    if (result == 0 && kind_of(fd) == FILE_OF_OURS) record('t', known[fd].inode, size, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t size) { return cut_to(fd, size); }
int ftruncate64(int fd, off_t size) { return cut_to(fd, size); }

int unlink(const char *path) {
    int result = syscall(SYS_unlink, path);
    if (result == 0 && is_watched(path) == FILE_OF_OURS) record('u', 0, 0, path, strlen(path));
    return result;
}

int rename(const char *from, const char *to) {
    int result = syscall(SYS_rename, from, to);
    if (result == 0 && is_watched(to) == FILE_OF_OURS) {
        char both[2 * PATH_MAX];
        size_t length = strlen(from) + 1;
        if (length + strlen(to) >= sizeof both) abort();
        strcpy(both, from);
        strcpy(both + length, to);
        record('r', 0, 0, both, length + strlen(to));
    }
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int64_t nanos = time->tv_nsec + control->clock_offset_us % 1000000 * 1000;
        time->tv_sec += control->clock_offset_us / 1000000 + (nanos >= 1000000000) - (nanos < 0);
        time->tv_nsec = nanos + (nanos < 0) * 1000000000 - (nanos >= 1000000000) * 1000000000;
    }
    return result;
}
