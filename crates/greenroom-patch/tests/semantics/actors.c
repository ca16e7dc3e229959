/* Actors in C, which call libc as ordinary programs do, and note what came of each call.
 * They know nothing of green threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct notes {
    char *text;
    size_t room;
    size_t length;
};

static void note(struct notes *notes, const char *format, ...)
{
    int saved = errno;
    va_list arguments;
    size_t left = notes->room - notes->length;
    va_start(arguments, format);
    int count = vsnprintf(notes->text + notes->length, left, format, arguments);
    va_end(arguments);
    if (count > 0 && (size_t)count < left)
        notes->length += (size_t)count;
    errno = saved;
}

/* Notes a call with its answer and errno, which was 4242 before. */
#define CALL(call)                                                                   \
    ({                                                                               \
        errno = 4242;                                                                \
        long answer_ = (long)(call);                                                 \
        note(notes, "%s = %ld, %d\n", #call, answer_, errno);                        \
        answer_;                                                                     \
    })

static void note_bytes(struct notes *notes, const char *bytes, long count)
{
    unsigned long sum = 5381;
    for (long at = 0; at < count; at++)
        sum = sum * 33 + (unsigned char)bytes[at];
    note(notes, "%ld bytes %lx\n", count < 0 ? 0 : count, sum);
}

/* A length that no compiler knows, so that fortified calls are made. */
static size_t some(const volatile size_t *length)
{
    return *length;
}

void client(int fd, struct notes *notes)
{
    static const char question[] = "how much is the fish?\n";
    char answer[64];
    size_t room = sizeof answer;
    struct iovec parts[3] = {{answer, 2}, {NULL, 0}, {answer + 2, 30}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    long count;

    CALL(write(fd, question, sizeof question - 1));
    count = CALL(read(fd, answer, some(&room)));
    note_bytes(notes, answer, count);
    CALL(send(fd, question, 5, MSG_NOSIGNAL));
    count = CALL(recv(fd, answer, some(&room), 0));
    note_bytes(notes, answer, count);
    CALL(sendto(fd, question, 7, 0, NULL, 0));
    count = CALL(recvfrom(fd, answer, some(&room), 0, (struct sockaddr *)&from, &length));
    note_bytes(notes, answer, count);
    note(notes, "from %u bytes\n", (unsigned)length);
    CALL(sendmsg(fd, &(struct msghdr){.msg_iov = &(struct iovec){"go", 2}, .msg_iovlen = 1}, 0));
    count = CALL(recvmsg(fd, &message, MSG_WAITALL));
    note_bytes(notes, answer, count);
    note(notes, "flags %x\n", (unsigned)message.msg_flags);
    CALL(recv(fd, answer, some(&room), MSG_DONTWAIT));
    CALL(shutdown(fd, SHUT_WR));
    count = CALL(recv(fd, answer, some(&room), MSG_WAITALL));
    note_bytes(notes, answer, count);
    CALL(read(fd, answer, some(&room)));
}

void server(int fd, struct notes *notes)
{
    char buffer[32];
    size_t room = sizeof buffer;
    long count;

    while ((count = CALL(read(fd, buffer, some(&room)))) > 0) {
        note_bytes(notes, buffer, count);
        CALL(usleep(3000));
        if (count == 2) {
            struct iovec parts[2] = {{"an answer in ", 13}, {"two parts, and more", 19}};
            CALL(writev(fd, parts, 1));
            CALL(nanosleep(&(struct timespec){0, 5000000}, NULL));
            CALL(writev(fd, parts + 1, 1));
        } else {
            CALL(write(fd, buffer, (size_t)count));
        }
    }
    CALL(send(fd, "bye", 3, 0));
    CALL(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 2000000}, NULL));
    CALL(shutdown(fd, SHUT_RDWR));
}

/* A pipe's two ends. */
void taker(int fd, struct notes *notes)
{
    char buffer[10000];
    size_t room = sizeof buffer;
    long count, all = 0;
    while ((count = read(fd, buffer, some(&room))) > 0)
        all += count;
    note(notes, "%ld in all, then %ld\n", all, count);
}

void giver(int fd, struct notes *notes)
{
    static char much[150000];
    int twin;
    memset(much, 'a', sizeof much);
    CALL(write(fd, much, sizeof much));
    twin = dup(fd);
    CALL(close(fd));
    CALL(write(twin, much, 5));
    CALL(sched_yield());
    CALL(close(twin));
}

/* A child, which is heard and ended. */
void parent(int fd, struct notes *notes)
{
    char buffer[16];
    size_t room = sizeof buffer;
    int ends[2], status = 0;
    long count;
    pid_t child;

    (void)fd;
    if (pipe(ends) != 0)
        return;
    child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        execl("/bin/sh", "sh", "-c", "sleep 0.02; echo hello", (char *)NULL);
        _exit(127);
    }
    CALL(close(ends[1]));
    count = CALL(read(ends[0], buffer, some(&room)));
    note_bytes(notes, buffer, count);
    CALL(read(ends[0], buffer, some(&room)));
    CALL(close(ends[0]));
    CALL(waitpid(child, &status, 0) == child);
    note(notes, "status %d\n", WEXITSTATUS(status));
}
