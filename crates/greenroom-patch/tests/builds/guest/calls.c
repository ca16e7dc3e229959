/* Calls as C code makes them: the object is linked into a program, or is a shared library of its own.
   NAME is what its table is found by. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Other names of the same calls, which no header has. */
ssize_t __read(int fd, void *buffer, size_t length);
ssize_t __send(int fd, const void *buffer, size_t length, int flags);
int __close(int fd);

static int early_went_well;

static int call_recv(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) == 1;
}

/* The length is known at run time only, so _FORTIFY_SOURCE makes it __recv_chk. */
static int call_recv_chk(int fd, size_t length)
{
    char bytes[8];
    return recv(fd, bytes, length, 0) == (ssize_t)length;
}

static int call_usleep(unsigned micros)
{
    return usleep(micros) == 0;
}

const struct calls {
    int early;
    int (*recv)(int);
    int (*recv_chk)(int, size_t);
    int (*usleep)(unsigned);
} *NAME(void)
{
    static struct calls calls = { 0, call_recv, call_recv_chk, call_usleep };
    calls.early = early_went_well;
    return &calls;
}

/* Runs before any constructor of the program. */
static void early(void)
{
    int ends[2];
    char byte = 0;
    struct pollfd question = { .events = POLLIN };
    errno = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || write(ends[0], "a", 1) != 1)
        return;
    question.fd = ends[1];
    if (poll(&question, 1, -1) != 1 || read(ends[1], &byte, 1) != 1 || byte != 'a')
        return;
    if (send(ends[0], "bc", 2, 0) != 2 || __send(ends[0], "d", 1, 0) != 1 || recv(ends[1], &byte, 1, 0) != 1 || byte != 'b')
        return;
    if (__read(ends[1], &byte, 1) != 1 || byte != 'c' || read(ends[1], &byte, 1) != 1 || byte != 'd')
        return;
    if (recv(ends[1], &byte, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN)
        return;
    errno = 0;
    if (usleep(1) != 0 || __close(ends[0]) != 0 || close(ends[1]) != 0 || errno != 0)
        return;
    early_went_well = read(ends[1], &byte, 1) == -1 && errno == EBADF;
}

#ifdef SHARED
__attribute__((constructor)) static void constructor(void)
{
    early();
}
#else
__attribute__((section(".preinit_array"), used)) static void (*const constructor)(void) = early;
#endif
