/* Loaded before libc, this makes a disk fail: while the file FAILING_DISK holds an errno (an int32, read anew each time), whoever
   opens for writing, writes or syncs a file below the folder FAILING_UNDER gets that error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static int32_t failing(void)
{
    static const volatile int32_t none = 0;
    static const volatile int32_t *error = NULL;
    if (!error) {
        static int (*real)(const char *, int, ...) = NULL;
        real = dlsym(RTLD_NEXT, "open");
        const char *path = getenv("FAILING_DISK");
        int file = path ? real(path, O_RDONLY | O_CLOEXEC) : -1;
        void *at = file < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
        error = at == MAP_FAILED ? &none : at;
    }
    return *error;
}

static int below(const char *path)
{
    const char *folder = getenv("FAILING_UNDER");
    return folder && !strncmp(path, folder, strlen(folder));
}

static int fails(int fd)
{
    int32_t error = failing();
    if (!error)
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    if (!below(path))
        return 0;
    errno = error;
    return 1;
}

static int no_opening(const char *path, int flags)
{
    int32_t error = failing();
    if (!error || (flags & O_ACCMODE) == O_RDONLY || !below(path))
        return 0;
    errno = error;
    return 1;
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)
#define OPENS(name)                                         \
    int name(const char *path, int flags, ...)              \
    {                                                       \
        va_list more;                                       \
        va_start(more, flags);                              \
        mode_t mode = va_arg(more, mode_t);                 \
        va_end(more);                                       \
        return no_opening(path, flags) ? -1 : REAL(name, path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
ssize_t write(int fd, const void *data, size_t n) { return fails(fd) ? -1 : REAL(write, fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return fails(fd) ? -1 : REAL(pwrite, fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return fails(fd) ? -1 : REAL(pwrite64, fd, data, n, at); }
int fsync(int fd) { return fails(fd) ? -1 : REAL(fsync, fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : REAL(fdatasync, fd); }
