/* Lets calls on chosen files fail or wait, by rules in memory that is shared with the test (see control.py).
 *
 * Preloaded into a process, it stands before the C library's calls on files. Without a rule each costs one read of memory.
 * A rule names a call, a pattern for the path, an error, a delay, how many matches to let pass first and how many to act
 * on. The counters are written here and read by the test, so that it knows when a rule was hit for the first time.
 * A call that is refused is not made; one that is delayed is made afterwards.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RULES 16

/* control.py packs the same: change both. */
struct rule {
    char call[16];    /* "write", "sync", "reserve", "open", "rename", "unlink", "mkdir", "truncate", "read", "lock" */
    char pattern[232]; /* fnmatch against the absolute path */
    int32_t error;    /* 0: the call is made */
    uint32_t delay_ms;
    uint32_t skip;  /* matches to let pass first */
    uint32_t limit; /* matches to act on then; 0: all */
    uint64_t matches;
    uint64_t hits;
    uint64_t first_hit_ns; /* CLOCK_MONOTONIC */
};

struct control {
    uint32_t active; /* how many rules there are */
    uint32_t unused;
    struct rule rules[RULES];
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTDISK_CONTROL");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Applies the rules to a call; returns the error that it must fail with, 0 to go on. */
static int judge(const char *call, const char *path) {
    uint32_t active = __atomic_load_n(&control->active, __ATOMIC_ACQUIRE);
    for (uint32_t at = 0; at < active && at < RULES; at++) {
        struct rule *rule = &control->rules[at];
        if (strcmp(rule->call, call) != 0 || fnmatch(rule->pattern, path, 0) != 0)
            continue;
        uint64_t number = __atomic_fetch_add(&rule->matches, 1, __ATOMIC_ACQ_REL);
        if (number < rule->skip || (rule->limit && number >= (uint64_t)rule->skip + rule->limit))
            continue;
        if (__atomic_fetch_add(&rule->hits, 1, __ATOMIC_ACQ_REL) == 0)
            __atomic_store_n(&rule->first_hit_ns, now_ns(), __ATOMIC_RELEASE);
        struct timespec pause = {rule->delay_ms / 1000, (long)(rule->delay_ms % 1000) * 1000000};
        while (rule->delay_ms && nanosleep(&pause, &pause) != 0 && errno == EINTR)
            ;
        if (rule->error)
            return rule->error;
    }
    return 0;
}

static int idle(void) { return !control || !__atomic_load_n(&control->active, __ATOMIC_ACQUIRE); }

static int judge_descriptor(const char *call, int descriptor) {
    int before = errno;
    if (idle())
        return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length <= 0 || path[0] != '/')
        return 0; /* a socket, a pipe */
    path[length] = 0;
    int error = judge(call, path);
    errno = before;
    return error;
}

static int judge_path(const char *call, int directory, const char *name) {
    int before = errno;
    if (idle() || !name)
        return 0;
    char base[PATH_MAX] = "", path[2 * PATH_MAX];
    if (name[0] != '/') {
        char link[64] = "/proc/self/cwd";
        if (directory != AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length > 0 ? length : 0] = 0;
        snprintf(path, sizeof path, "%s/%s", base, name);
    } else {
        snprintf(path, sizeof path, "%s", name);
    }
    int error = judge(call, path);
    errno = before;
    return error;
}

/* The C library's own function, looked up once. */
#define REAL(function)                                            \
    ({                                                            \
        static __typeof__(&function) found;                       \
        if (!found)                                               \
            found = (__typeof__(&function))real(#function);       \
        found;                                                    \
    })

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

#define FAIL_IF(judged)     \
    do {                    \
        int error = judged; \
        if (error) {        \
            errno = error;  \
            return -1;      \
        }                   \
    } while (0)

#define ON_DESCRIPTOR(call, type, name, parameters, arguments) \
    type name parameters {                                     \
        FAIL_IF(judge_descriptor(call, fd));                   \
        return REAL(name) arguments;                           \
    }

#define ON_PATH(call, directory, path, name, parameters, arguments) \
    int name parameters {                                           \
        FAIL_IF(judge_path(call, directory, path));                 \
        return REAL(name) arguments;                                \
    }

ON_DESCRIPTOR("write", ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
ON_DESCRIPTOR("write", ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_DESCRIPTOR("write", ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
ON_DESCRIPTOR("write", ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
ON_DESCRIPTOR("write", ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
ON_DESCRIPTOR("write", ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at))
ON_DESCRIPTOR("write", ssize_t, pwritev2, (int fd, const struct iovec *parts, int count, off_t at, int flags), (fd, parts, count, at, flags))
ON_DESCRIPTOR("write", ssize_t, pwritev64v2, (int fd, const struct iovec *parts, int count, off64_t at, int flags), (fd, parts, count, at, flags))
ON_DESCRIPTOR("read", ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
ON_DESCRIPTOR("read", ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
ON_DESCRIPTOR("read", ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
ON_DESCRIPTOR("sync", int, fsync, (int fd), (fd))
ON_DESCRIPTOR("sync", int, fdatasync, (int fd), (fd))
ON_DESCRIPTOR("truncate", int, ftruncate, (int fd, off_t size), (fd, size))
ON_DESCRIPTOR("truncate", int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_DESCRIPTOR("reserve", int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
ON_DESCRIPTOR("reserve", int, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
ON_DESCRIPTOR("lock", int, flock, (int fd, int operation), (fd, operation))
ON_PATH("rename", AT_FDCWD, to, rename, (const char *from, const char *to), (from, to))
ON_PATH("rename", to_fd, to, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to))
ON_PATH("unlink", AT_FDCWD, path, unlink, (const char *path), (path))
ON_PATH("unlink", directory, path, unlinkat, (int directory, const char *path, int flags), (directory, path, flags))
ON_PATH("mkdir", AT_FDCWD, path, mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH("mkdir", directory, path, mkdirat, (int directory, const char *path, mode_t mode), (directory, path, mode))

/* These return the error and leave errno alone. */
int posix_fallocate(int fd, off_t at, off_t size) {
    int error = judge_descriptor("reserve", fd);
    return error ? error : REAL(posix_fallocate)(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    int error = judge_descriptor("reserve", fd);
    return error ? error : REAL(posix_fallocate64)(fd, at, size);
}

#define MODE(flags)                                        \
    mode_t mode = 0;                                       \
    if (((flags)&O_CREAT) || ((flags)&O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode = va_arg(rest, mode_t);                       \
        va_end(rest);                                      \
    }

#define ON_OPEN(name)                                   \
    int name(const char *path, int flags, ...) {        \
        MODE(flags)                                     \
        FAIL_IF(judge_path("open", AT_FDCWD, path));    \
        return REAL(name)(path, flags, mode);           \
    }

#define ON_OPENAT(name)                                          \
    int name(int directory, const char *path, int flags, ...) { \
        MODE(flags)                                              \
        FAIL_IF(judge_path("open", directory, path));            \
        return REAL(name)(directory, path, flags, mode);         \
    }

ON_OPEN(open)
ON_OPEN(open64)
ON_OPENAT(openat)
ON_OPENAT(openat64)
